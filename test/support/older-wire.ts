/** The connection as an agent or a server of an earlier version would read and write it: what they did not know is not there. */
import { clone, createFileRegistry, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, file_google_protobuf_timestamp } from '@bufbuild/protobuf/wkt';
import type { HardwareFacts } from '#proto/actions/facts.ts';
import { agentServiceDefinition } from '#proto/agent-service-definition.ts';
import {
  AgentMessageSchema,
  file_tinsmith_agent_v1_agent,
  ServerMessageSchema,
} from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';

/** Messages and fields that came after the first contract. */
const NEWER = { messages: ['PeerOffer', 'Peers', 'Peer'], fields: ['peer_offer', 'peers'] };

/**
 * Until it is disposed of, agents of this process speak the first contract: messages that it does not have are read as empty, fields
 * that it does not have are dropped, both ways, and of the facts in a task is left what `facts` leaves.
 */
export function olderWire(facts: (facts: HardwareFacts) => HardwareFacts = (same) => same): Disposable {
  const { connect } = agentServiceDefinition;
  const { requestSerialize, responseDeserialize } = connect;
  connect.requestSerialize = (message) => Buffer.from(asBefore(AgentMessageSchema, requestSerialize(message)));
  connect.responseDeserialize = (bytes) => {
    const message = responseDeserialize(Buffer.from(asBefore(ServerMessageSchema, bytes)));
    if (message.body.case === 'runTask') {
      message.body.value.hardwareJson = JSON.stringify(facts(JSON.parse(message.body.value.hardwareJson)));
    }
    return message;
  };
  return {
    [Symbol.dispose]: () => void Object.assign(connect, { requestSerialize, responseDeserialize }),
  };
}

const FIRST = firstContract();

function asBefore<S extends DescMessage>(schema: S, bytes: Uint8Array): Uint8Array {
  const before = FIRST.getMessage(schema.typeName) ?? schema;
  return toBinary(before, fromBinary(before, bytes, { readUnknownFields: false }));
}

function firstContract(): ReturnType<typeof createFileRegistry> {
  const file = clone(FileDescriptorProtoSchema, file_tinsmith_agent_v1_agent.proto);
  file.messageType = file.messageType.filter(({ name }) => !NEWER.messages.includes(name));
  for (const message of file.messageType) {
    message.field = message.field.filter(({ name }) => !NEWER.fields.includes(name));
  }
  return createFileRegistry(file, () => file_google_protobuf_timestamp);
}
