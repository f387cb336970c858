// Calls by Connect's own library, over each of its transports.

import { toJson } from '@bufbuild/protobuf';
import { ConnectError, createClient } from '@connectrpc/connect';
import { EventService } from 'contract/events_pb.js';
import { ProblemSchema } from 'contract/session_pb.js';

/** Starts calls over a transport. */
export function overTransport(transport) {
  const client = createClient(EventService, transport);
  return async (method, outgoing, hear, options) => {
    const hasMany = ['client_streaming', 'bidi_streaming'].includes(method.methodKind);
    const request = hasMany ? outgoing.all() : outgoing.only();
    try {
      const answer = client[method.localName](request, options);
      const answers = Symbol.asyncIterator in answer ? answer : [await answer];
      for await (const message of answers) {
        hear(toJson(method.output, message));
      }
    } catch (error) {
      throw told(ConnectError.from(error));
    }
  };
}

/** The status of a call that has failed, and its details by name. What the library cannot read is empty. */
export function told(error) {
  const details = Object.fromEntries(error.details.map(({ type }) => [type, {}]));
  for (const problem of error.findDetails(ProblemSchema)) {
    details[ProblemSchema.typeName] = toJson(ProblemSchema, problem);
  }
  return { code: error.code, text: error.rawMessage, details };
}
