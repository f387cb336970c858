// The client in a page of a real browser. The page is served from two origins, so that a test can
// list one of them and see the other refused.

import { launch } from './chromium.js';
import { until } from './client.js';
import { obey } from './commands.js';
import { serve } from './origin.js';

const FILES = { '/': ['page.html', 'text/html'], '/client.js': ['client.js', 'text/javascript'] };

const origins = [await serve(FILES), await serve(FILES)];
const browser = await launch();
const page = await browser.newPage();
const network = await watch();
const actions = {
  /** Goes to the page of an origin. */
  open: async (origin) => {
    await page.goto(origin);
    await page.waitForFunction(() => window.client);
  },
  /** What each connection of an EventSource asked to resume from. */
  resumes: () => network.resumes,
  /** The names of all that the page's EventSource dispatched. */
  dispatched: () => network.dispatched,
  /** Waits for a heartbeat whose id is this cursor or a later one; cursors sort as text. */
  heartbeat: async (cursor) => {
    const beats = () => [...network.text.matchAll(/^: heartbeat\nid: (\w+)\n\n/gm)];
    const beat = () => beats().find(([, id]) => id >= cursor)?.[1];
    await until(beat);
    return beat();
  },
};
const inPage = ([name, args]) => window.client[name](...args);

await obey({ origins }, (name, args) =>
  name in actions ? actions[name](...args) : page.evaluate(inPage, [name, args]),
);
await browser.close();
process.exit();

/** What the browser itself sees of its event streams, beyond what it lets the page see. */
async function watch() {
  const seen = { resumes: [], dispatched: [], text: '' };
  const take = (data) => (seen.text += Buffer.from(data ?? '', 'base64'));
  const session = await page.context().newCDPSession(page);
  session.on('Network.requestWillBeSentExtraInfo', ({ headers }) => {
    if (headers.Accept === 'text/event-stream') {
      seen.resumes.push(headers['Last-Event-ID'] ?? null);
    }
  });
  session.on('Network.responseReceived', ({ type, requestId }) => {
    if (type === 'EventSource') {
      const begun = session.send('Network.streamResourceContent', { requestId });
      // It may have ended already.
      begun.then(({ bufferedData }) => take(bufferedData)).catch(() => {});
    }
  });
  session.on('Network.dataReceived', ({ data }) => take(data));
  session.on('Network.eventSourceMessageReceived', ({ eventName }) => {
    seen.dispatched.push(eventName);
  });
  await session.send('Network.enable');
  return seen;
}
