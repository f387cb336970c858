// Calls in the text form of gRPC-Web, by Google's own library. No package carries its code generator, so
// the messages are those of protoc-gen-es.

import { fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { GrpcWebClientBase, MethodDescriptor, MethodType } from 'grpc-web';

import { told } from './connect.js';

/** Starts calls to an address. */
export function overText(url) {
  const client = new GrpcWebClientBase({ format: 'text' });
  return async (method, outgoing, hear, { signal, timeoutMs }) => {
    const path = `/${method.parent.typeName}/${method.name}`;
    const metadata = timeoutMs ? { deadline: String(Date.now() + timeoutMs) } : {};
    const call = [url + path, outgoing.only(), metadata, descriptor(path, method)];
    const take = (message) => hear(toJson(method.output, message));
    try {
      if (method.methodKind === 'unary') {
        take(await one(client, call));
      } else {
        await all(client.serverStreaming(...call), take, signal);
      }
    } catch (error) {
      throw status(error);
    }
  };
}

function one(client, call) {
  return new Promise((resolve, reject) => {
    client.rpcCall(...call, (error, message) => (error ? reject(error) : resolve(message)));
  });
}

function all(messages, take, signal) {
  return new Promise((resolve, reject) => {
    messages.on('data', take);
    messages.on('error', reject);
    messages.on('end', resolve);
    signal.addEventListener('abort', () => {
      messages.cancel();
      resolve();
    });
  });
}

function descriptor(path, { methodKind, input, output }) {
  const type = methodKind === 'unary' ? MethodType.UNARY : MethodType.SERVER_STREAMING;
  const write = (message) => toBinary(input, message);
  const read = (bytes) => fromBinary(output, bytes);
  return new MethodDescriptor(path, type, Object, Object, write, read);
}

/** This library leaves the details to whoever reads the trailers. */
function status({ code, message, metadata }) {
  const trailers = new Headers({ 'grpc-status': code, ...metadata });
  const error = findTrailerError(trailers);
  return { ...told(error), text: message };
}
