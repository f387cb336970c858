// What the tests ask of a library for calls, the same in a page and in node. Messages are protobuf's own
// JSON.

import { fromJson } from '@bufbuild/protobuf';
import { EventService } from 'contract/events_pb.js';

import { until } from '../client.js';

/**
 * What the tests can ask for. Each protocol makes of an address a function that starts a call: it is
 * given the method, the messages to send, where to put what is heard, and how the call can end early.
 * The call is over when its promise is.
 */
export function actions(protocols) {
  let start;
  let open;
  return {
    /** Calls go to this address from now on. */
    connect: (protocol, url) => {
      start = protocols[protocol](url);
    },
    /** A call with these messages and no more: all that it was answered. */
    ask: (method, messages) => {
      const call = begin(start, method, messages);
      call.outgoing.end();
      return over(call);
    },
    /** Opens a call, which the others are about. */
    open: (method, messages, timeoutMs) => {
      open = begin(start, method, messages, timeoutMs);
    },
    /** Sends one more message. */
    say: (message) => open.outgoing.say(message),
    /** Says that no more messages come. */
    end: () => open.outgoing.end(),
    /** What has come, once a field has come so often. */
    heard: async (field, times) => {
      await until(() => open.isOver || count(open.messages, field) >= times);
      return soFar(open);
    },
    /** What has come, once the call is over. */
    over: () => over(open),
    /** Leaves the call; answers with what came after all. */
    cancel: () => {
      open.cancellation.abort();
      return over(open);
    },
  };
}

async function over(call) {
  await until(() => call.isOver);
  return soFar(call);
}

function begin(start, name, messages, timeoutMs) {
  const method = EventService.methods.find((method) => method.name === name);
  const cancellation = new AbortController();
  const outgoing = new Outgoing(method.input, messages);
  const call = { messages: [], isOver: false, error: null, outgoing, cancellation };
  const hear = (message) => call.messages.push(message);
  start(method, outgoing, hear, { signal: cancellation.signal, timeoutMs })
    .catch((error) => (call.error = error))
    .finally(() => (call.isOver = true));
  return call;
}

function soFar({ messages, isOver, error }) {
  return { messages, isOver, error };
}

/** How often a field has come; of `events` each counts. */
function count(messages, field) {
  const times = (message) =>
    field === 'events' ? (message.events?.events.length ?? 0) : Number(field in message);
  return messages.reduce((sum, message) => sum + times(message), 0);
}

/** Messages on their way out. */
class Outgoing {
  #schema;
  #waiting = [];
  #isEnded = false;
  #wake = () => {};

  constructor(schema, messages) {
    this.#schema = schema;
    messages.forEach((message) => this.say(message));
  }

  /** The only message, of calls that have one. */
  only() {
    return this.#waiting[0];
  }

  async *all() {
    while (this.#waiting.length > 0 || !this.#isEnded) {
      if (this.#waiting.length > 0) {
        yield this.#waiting.shift();
      } else {
        await new Promise((resolve) => (this.#wake = resolve));
      }
    }
  }

  say(message) {
    this.#waiting.push(fromJson(this.#schema, message));
    this.#wake();
  }

  end() {
    this.#isEnded = true;
    this.#wake();
  }
}
