// What a client does with the server, the same in a page and in node. The tests call these functions
// by name, in whatever order they need.

/** Opens an EventSource; answers once it is open, or has given up. */
export async function read(url) {
  reading = { events: [], names: [], parts: [], partsMax: 0, source: new EventSource(url) };
  const { source } = reading;
  source.addEventListener('message', take);
  for (const name of ['caught-up', 'gap', 'heartbeat', 'problem']) {
    source.addEventListener(name, () => reading.names.push(name));
  }
  source.addEventListener('part', (message) => reading.parts.push(message.data));
  source.addEventListener('last-part', takeLastPart);
  // Whoever is cut off in the middle of an event gets all of it again.
  source.addEventListener('open', () => (reading.parts = []));
  await until(() => source.readyState !== source.CONNECTING);
  return { isOpen: source.readyState === source.OPEN };
}

/** All events so far, without their data; waits until there are so many of them. */
export async function events(count) {
  await until(() => reading.events.length >= count);
  return reading.events.map(({ data, ...event }) => event);
}

/** The data of one of the events so far. */
export function data(number) {
  return reading.events[number].data;
}

/** The names of what else came so far; waits until there are so many. */
export async function names(count) {
  await until(() => reading.names.length >= count);
  return reading.names;
}

/** The largest number of parts that an event came in. */
export function partsMax() {
  return reading.partsMax;
}

/** Opens a WebSocket; answers once it is open, or refused. */
export async function connect(url, subprotocol) {
  session = { frames: [], socket: new WebSocket(url, subprotocol) };
  const { socket } = session;
  socket.onmessage = (message) => session.frames.push(JSON.parse(message.data));
  socket.onclose = (closed) => (session.closed = closed.code);
  await until(() => socket.readyState !== socket.CONNECTING);
  await until(() => socket.readyState === socket.OPEN || session.closed !== undefined);
  return { isOpen: socket.readyState === socket.OPEN, protocol: socket.protocol };
}

/** Sends a frame. */
export function say(frame) {
  session.socket.send(JSON.stringify(frame));
}

/** All frames so far; waits until one of them has this field. */
export async function frames(field) {
  await until(() => session.frames.some((frame) => field in frame));
  return session.frames;
}

/** Closes the WebSocket; answers with the code it was closed with. */
export async function close() {
  session.socket.close(1000);
  await until(() => session.closed !== undefined);
  return session.closed;
}

/** Sends a request; answers with what the page gets to see of the response. */
export async function request(url, options) {
  try {
    const response = await fetch(url, options);
    const { status, type } = response;
    return { status, type, etag: response.headers.get('etag'), body: await response.text() };
  } catch (error) {
    return { error: error.name };
  }
}

let reading;
let session;

function take(message) {
  const { lastEventId } = message;
  const event = JSON.parse(message.data);
  reading.events.push({ lastEventId, cursor: event.cursor, id: event.id, data: event.data });
  show(event);
}

function takeLastPart(message) {
  const parts = [...reading.parts, message.data];
  reading.parts = [];
  reading.partsMax = Math.max(reading.partsMax, parts.length);
  take({ lastEventId: message.lastEventId, data: parts.join('') });
}

/** Where there is a page, it shows what came. */
function show(event) {
  const list = globalThis.document?.querySelector('ol');
  const item = globalThis.document?.createElement('li');
  item?.append(`${event.id}: ${JSON.stringify(event.data).slice(0, 60)}`);
  list?.append(item);
}

/** Waits until something is so, but not for ever: the test then sees what is missing. */
export async function until(isSo) {
  const latest = Date.now() + WAIT_MS_MAX;
  while (!isSo() && Date.now() < latest) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Much longer than anything takes, shorter than the test waits for an answer. */
const WAIT_MS_MAX = 30_000;
