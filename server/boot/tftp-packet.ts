import errorPacket from 'tftp/lib/protocol/packets/error.js';
import oackPacket from 'tftp/lib/protocol/packets/oack.js';
import rrqPacket from 'tftp/lib/protocol/packets/rrq.js';
import { TinsmithError } from '#proto/errors.ts';

/**
 * Bytes ↔ TFTP packets: RFC 1350, options by RFC 2347 to 2349 and RFC 7440. Server side of reading only.
 * The codec is npm `tftp`'s, except for a request's options (it refuses what RFC 2347 says to ignore) and data (it copies).
 */
export interface TftpRequest {
  readonly kind: 'read' | 'write';
  /** As sent, separators normalised. */
  readonly file: string;
  readonly mode: string;
  /** Only those that we know and whose value is valid; what else was asked for is ignored (RFC 2347). */
  readonly options: TftpOptions;
}

export interface TftpOptions {
  /** Bytes of data in a packet, 8 to 65464. */
  readonly blksize?: number;
  /** Asked for as 0. */
  readonly tsize?: number;
  /** Seconds between repetitions, 1 to 255. */
  readonly timeout?: number;
  /** Packets before an acknowledgement, 1 to 65535. */
  readonly windowsize?: number;
}

/** What a client says during a transfer. `block` is 16 bits. */
export type TftpReport =
  | { readonly kind: 'ack'; readonly block: number }
  | { readonly kind: 'error'; readonly code: number; readonly message: string };

export const TFTP_ERROR = { undefined: 0, notFound: 1, accessViolation: 2, illegalOperation: 4 } as const;

const OPCODE = { read: 1, write: 2, data: 3, ack: 4, error: 5 } as const;
const LIMITS: Readonly<Record<keyof TftpOptions, readonly [minimum: number, maximum: number]>> = {
  blksize: [8, 65_464],
  tsize: [0, 0],
  // RFC 2349 allows 255, but a stranger who then says nothing more would hold a transfer for half an hour.
  timeout: [1, 10],
  windowsize: [1, 65_535],
};
const MAX_REQUEST_BYTES = 1024;

/** Reads the first datagram of a client. Throws `invalid_input` for anything but a read or write request. */
export function decodeTftpRequest(bytes: Buffer): TftpRequest {
  const opcode = bytes.length >= 2 ? bytes.readUInt16BE(0) : undefined;
  if (opcode !== OPCODE.read && opcode !== OPCODE.write) throw malformed('it is no read or write request');
  if (bytes.length > MAX_REQUEST_BYTES) throw malformed(`it has ${bytes.length} bytes`);
  const [, mode = '', ...words] = zeroTerminated(bytes.subarray(2));
  const headEnd = bytes.indexOf(0, bytes.indexOf(0, 2) + 1) + 1;
  return {
    kind: opcode === OPCODE.read ? 'read' : 'write',
    file: fileOf(bytes.subarray(0, headEnd)),
    mode: mode.toLowerCase(),
    options: optionsOf(words),
  };
}

/** Reads a client's later datagram; undefined for what has no meaning in a running transfer. */
export function decodeTftpReport(bytes: Buffer): TftpReport | undefined {
  if (bytes.length < 4) return undefined;
  const opcode = bytes.readUInt16BE(0);
  if (opcode === OPCODE.ack) return { kind: 'ack', block: bytes.readUInt16BE(2) };
  if (opcode !== OPCODE.error) return undefined;
  try {
    return { kind: 'error', ...errorPacket.deserialize(bytes) };
  } catch {
    // A message without its end: it still is an error.
    return { kind: 'error', code: bytes.readUInt16BE(2), message: '' };
  }
}

/** Four bytes that go before the data of a block; `block` may be any whole number, the wire carries its low 16 bits. */
export function tftpDataHeader(block: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt16BE(OPCODE.data, 0);
  header.writeUInt16BE(block % 65_536, 2);
  return header;
}

export function encodeTftpOptions(options: TftpOptions): Buffer {
  return oackPacket.serialize({ ...options });
}

/** `message` in ASCII. */
export function encodeTftpError(code: number, message: string): Buffer {
  return errorPacket.serialize({ code, message });
}

function fileOf(head: Buffer): string {
  try {
    return rrqPacket.deserialize(head).file;
  } catch (error) {
    throw new TinsmithError('invalid_input', 'cannot read a TFTP request: its file name or mode is not valid', {
      cause: error,
    });
  }
}

function optionsOf(words: readonly string[]): TftpOptions {
  const options: { -readonly [N in keyof TftpOptions]: number } = {};
  for (let at = 0; at + 1 < words.length; at += 2) {
    const name = words[at]?.toLowerCase() ?? '';
    const text = words[at + 1] ?? '';
    if (!isOption(name) || !/^\d{1,10}$/.test(text)) continue;
    const [minimum, maximum] = LIMITS[name];
    const value = Number(text);
    if (value >= minimum && value <= maximum) options[name] = value;
  }
  return options;
}

function isOption(name: string): name is keyof TftpOptions {
  return Object.hasOwn(LIMITS, name);
}

function zeroTerminated(bytes: Buffer): readonly string[] {
  const words = bytes.toString('latin1').split('\0');
  // What comes behind the last NUL is no word.
  words.pop();
  return words;
}

function malformed(fact: string): TinsmithError {
  return new TinsmithError('invalid_input', `cannot read a TFTP request: ${fact}`);
}
