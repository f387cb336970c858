// All that `@connectrpc/connect-web` and `grpc-web` speak.

import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';

import { actions } from './calls.js';
import { overTransport } from './connect.js';
import { overText } from './text.js';

export const { ask, cancel, connect, end, heard, open, over, say } = actions({
  connect: (baseUrl) => overTransport(createConnectTransport({ baseUrl, useBinaryFormat: true })),
  'connect-json': (baseUrl) =>
    overTransport(createConnectTransport({ baseUrl, useHttpGet: true })),
  'grpc-web': (baseUrl) => overTransport(createGrpcWebTransport({ baseUrl })),
  'grpc-web-text': overText,
});
