// The client in node, with the EventSource of the package `eventsource`.

import { EventSource } from 'eventsource';

import * as client from './client.js';
import { obey } from './commands.js';

/** What each connection of an EventSource asked to resume from. */
const resumes = [];

globalThis.EventSource = class extends EventSource {
  constructor(url) {
    super(url, {
      fetch: (url, options) => {
        resumes.push(options.headers['Last-Event-ID'] ?? null);
        return fetch(url, options);
      },
    });
  }
};

const actions = { ...client, resumes: () => resumes };

await obey({ origins: [] }, (name, args) => actions[name](...args));
// An open EventSource would keep the process alive.
process.exit();
