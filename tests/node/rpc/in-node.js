// All that `@connectrpc/connect-node` speaks.

import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';

import { obey } from '../commands.js';
import { actions } from './calls.js';
import { overTransport } from './connect.js';

const connect = (baseUrl, httpVersion, useBinaryFormat) =>
  overTransport(createConnectTransport({ baseUrl, httpVersion, useBinaryFormat }));
const grpcWeb = (baseUrl, httpVersion) =>
  overTransport(createGrpcWebTransport({ baseUrl, httpVersion }));

const client = actions({
  connect: (url) => connect(url, '2', true),
  'connect-http1': (url) => connect(url, '1.1', true),
  'connect-json': (url) => connect(url, '2', false),
  'connect-json-http1': (url) => connect(url, '1.1', false),
  grpc: (url) => overTransport(createGrpcTransport({ baseUrl: url })),
  'grpc-web': (url) => grpcWeb(url, '2'),
  'grpc-web-http1': (url) => grpcWeb(url, '1.1'),
});

await obey({}, (name, args) => client[name](...args));
// Open connections would keep the process alive.
process.exit();
