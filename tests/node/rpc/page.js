// Calls from a page of a real browser. The page is served from two origins, so that a test can list one
// of them and see the other refused.

import { launch } from '../chromium.js';
import { obey } from '../commands.js';
import { serve } from '../origin.js';
import { bundle } from './bundle.js';

const script = await bundle('in-page.js', 'browser');
const FILES = { '/': ['page.html', 'text/html'], '/client.js': [script, 'text/javascript'] };

const origins = [await serve(FILES), await serve(FILES)];
const browser = await launch();
const page = await browser.newPage();
const inPage = ([name, args]) => window.client[name](...args);
const actions = {
  /** Goes to the page of an origin. */
  visit: async (origin) => {
    await page.goto(origin);
    await page.waitForFunction(() => window.client);
  },
};

await obey({ origins }, (name, args) =>
  name in actions ? actions[name](...args) : page.evaluate(inPage, [name, args]),
);
await browser.close();
process.exit();
