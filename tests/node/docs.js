// The page that shows the description of HTTP, in a real browser.

import { launch } from './chromium.js';
import { obey } from './commands.js';

const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1200, height: 1500 } });
const requests = [];
const complaints = [];
page.on('request', (request) => requests.push(request.url()));
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
page.on('pageerror', (error) => complaints.push(String(error)));

const actions = {
  /** Goes to the page; answers with the ids of the operations that it shows. */
  open: async (url) => {
    await page.goto(url);
    await page.waitForSelector('.opblock');
    return page.$$eval('.opblock', (blocks) => blocks.map((block) => block.id.split('-').pop()));
  },
  /** Unfolds an operation, fills in its parameters and sends the request; answers with what is shown. */
  tryOut: async (operation, parameters) => {
    const block = page.locator(`.opblock[id$="-${operation}"]`);
    await block.locator('.opblock-summary-control').click();
    for (const [name, value] of Object.entries(parameters)) {
      await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
    }
    await block.locator('button.execute').click();
    const answer = block.locator('.live-responses-table tbody tr').first();
    await answer.waitFor();
    const status = await answer.locator('.response-col_status').innerText();
    return { status: parseInt(status), body: await answer.locator('.highlight-code').first().innerText() };
  },
  /** The addresses of all requests so far. */
  requests: () => requests,
  /** What the browser or the page has complained of. */
  complaints: () => complaints,
  /** Takes a picture of the whole page. */
  picture: async (path) => {
    await page.screenshot({ path, fullPage: true });
  },
};

await obey({}, (name, args) => actions[name](...args));
await browser.close();
process.exit();
