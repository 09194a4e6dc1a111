import { type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { AgentService } from './gen/tinsmith/agent/v1/agent_pb.ts';

/** The name in the server's certificate. Agents expect it whatever address they dial: the CA is pinned, not the address. */
export const SERVER_NAME = 'tinsmith-server';

/** Biggest message an agent may send, and the server reads. */
export const MAX_AGENT_MESSAGE_BYTES = 1024 * 1024;
/** Biggest message the server may send: a task carries its whole environment (user data, certificates). */
export const MAX_SERVER_MESSAGE_BYTES = 16 * 1024 * 1024;
/** Longer log lines are cut by the agent, and again by the server. */
export const MAX_LOG_LINE_BYTES = 16 * 1024;

/** One RPC of the generated service in grpc-js's terms: its path, and how its messages become bytes and back. */
function grpcMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: (message) => Buffer.from(toBinary(method.input, message)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(method.output, message)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/**
 * How much of an action's time may go by in servers' lines without counting for its time-out, on both sides: longer than any line
 * that moves, so that one that does not move hangs nothing for ever.
 */
export const LONGEST_UNCOUNTED_WAIT_MS = 12 * 3_600_000;

/** `tinsmith.agent.v1.AgentService` for grpc-js, both ends. */
export const agentServiceDefinition = {
  enroll: grpcMethod(AgentService.method.enroll),
  connect: grpcMethod(AgentService.method.connect),
  renew: grpcMethod(AgentService.method.renew),
} satisfies ServiceDefinition;
