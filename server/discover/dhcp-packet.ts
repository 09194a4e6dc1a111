import protocol from 'dhcp/lib/protocol.js';
import { TinsmithError } from '#proto/errors.ts';
import { OPTION } from './dhcp-options.ts';

/**
 * Bytes ↔ DHCP packet: RFC 2131 header, RFC 2132 options, RFC 3396 long options, option overload (52). Ethernet only.
 * The fixed header is coded by npm `dhcp`; its option codec loses and misreads options that netboot needs, so options are ours.
 */
export interface DhcpPacket {
  readonly op: 'request' | 'reply';
  readonly hops: number;
  readonly xid: number;
  readonly secs: number;
  readonly flags: number;
  readonly ciaddr: string;
  readonly yiaddr: string;
  readonly siaddr: string;
  readonly giaddr: string;
  /** Lower case, colons. */
  readonly mac: string;
  /** Latin-1, at most 64 bytes. Empty when option 52 lends the field to options. */
  readonly sname: string;
  /** Latin-1, at most 128 bytes. Empty when option 52 lends the field to options. */
  readonly file: string;
  /** Raw values by code, without pad, end and overload. Written in this order, but 53 and 54 first and 82 last. */
  readonly options: ReadonlyMap<number, Buffer>;
}

/** RFC 2131: what every client accepts, an IP datagram of 576 bytes, less 28 bytes of IP and UDP header. */
export const MINIMUM_MAX_PACKET = 548;

const HEADER_BYTES = 240;
const SNAME_AT = 44;
const FILE_AT = 108;
const COOKIE_AT = 236;
const COOKIE = 0x63825363;
const FILE_HOLDS_OPTIONS = 1;
const SNAME_HOLDS_OPTIONS = 2;
/** BOOTP's fixed size; some old relays and ROMs drop what is shorter. */
const MINIMUM_PACKET_BYTES = 300;

/** Reads one datagram. Throws `invalid_input` for anything that is not a whole Ethernet DHCP or BOOTP packet. */
export function decodeDhcpPacket(bytes: Buffer): DhcpPacket {
  checkHeader(bytes);
  const header = protocol.parse(Buffer.concat([bytes.subarray(0, HEADER_BYTES), Buffer.from([OPTION.end])]));
  const { options, overload } = readOptions(bytes);
  return {
    op: header.op === 1 ? 'request' : 'reply',
    hops: header.hops,
    xid: header.xid,
    secs: header.secs,
    flags: header.flags,
    ciaddr: header.ciaddr,
    yiaddr: header.yiaddr,
    siaddr: header.siaddr,
    giaddr: header.giaddr,
    mac: header.chaddr.toLowerCase().replaceAll('-', ':'),
    sname: (overload & SNAME_HOLDS_OPTIONS) === 0 ? textOf(bytes.subarray(SNAME_AT, FILE_AT)) : '',
    file: (overload & FILE_HOLDS_OPTIONS) === 0 ? textOf(bytes.subarray(FILE_AT, COOKIE_AT)) : '',
    options,
  };
}

/**
 * Writes a packet of at most `maxBytes`: options that no longer fit are left out from the end, never 53, 54 and 82.
 * Throws `invalid_input` when sname or file is too long.
 */
export function encodeDhcpPacket(packet: DhcpPacket, maxBytes: number = MINIMUM_MAX_PACKET): Buffer {
  if (packet.sname.length > 64) throw malformed(`its sname "${packet.sname}" is longer than 64 bytes`);
  if (packet.file.length > 128) throw malformed(`its file "${packet.file}" is longer than 128 bytes`);
  const formatted = protocol.format({
    ...packet,
    op: packet.op === 'request' ? 1 : 2,
    htype: 1,
    hlen: 6,
    chaddr: packet.mac,
    sname: '',
    file: '',
    options: {},
  });
  // oxlint-disable-next-line no-underscore-dangle -- the package gives its bytes under this name only
  const header = formatted._data.subarray(0, HEADER_BYTES);
  header.write(packet.sname, SNAME_AT, 64, 'latin1');
  header.write(packet.file, FILE_AT, 128, 'latin1');

  const first = [OPTION.messageType, OPTION.serverId].flatMap((code) => encodeIfPresent(packet.options, code));
  const last = encodeIfPresent(packet.options, OPTION.relayAgent);
  let free = maxBytes - HEADER_BYTES - byteLength(first) - byteLength(last) - 1;
  const middle: Buffer[] = [];
  for (const [code, value] of packet.options) {
    if (PLACED.has(code)) continue;
    const encoded = encodeOption(code, value);
    if (encoded.length > free) continue;
    free -= encoded.length;
    middle.push(encoded);
  }
  const whole = Buffer.concat([header, ...first, ...middle, ...last, Buffer.from([OPTION.end])]);
  if (whole.length >= MINIMUM_PACKET_BYTES) return whole;
  return Buffer.concat([whole], MINIMUM_PACKET_BYTES);
}

/** Codes whose place is fixed, or that are no options at all. */
const PLACED: ReadonlySet<number> = new Set([
  OPTION.pad,
  OPTION.end,
  OPTION.overload,
  OPTION.messageType,
  OPTION.serverId,
  OPTION.relayAgent,
]);

function checkHeader(bytes: Buffer): void {
  if (bytes.length < HEADER_BYTES) {
    throw malformed(`it has ${bytes.length} bytes, a packet has at least ${HEADER_BYTES}`);
  }
  if (bytes.readUInt32BE(COOKIE_AT) !== COOKIE) throw malformed('its magic cookie is not 63825363');
  const [op, htype, hlen] = bytes;
  if (op !== 1 && op !== 2) throw malformed(`its op code is ${op}, not 1 or 2`);
  if (htype !== 1 || hlen !== 6) throw malformed(`its hardware type is ${htype}/${hlen}, not Ethernet (1/6)`);
}

function readOptions(bytes: Buffer): { readonly options: DhcpPacket['options']; readonly overload: number } {
  const pieces = new Map<number, Buffer[]>();
  collectOptions(bytes.subarray(HEADER_BYTES), pieces);
  const overload = pieces.get(OPTION.overload)?.[0]?.[0] ?? 0;
  // RFC 3396 §5: the order is options, file, sname.
  if ((overload & FILE_HOLDS_OPTIONS) !== 0) collectOptions(bytes.subarray(FILE_AT, COOKIE_AT), pieces);
  if ((overload & SNAME_HOLDS_OPTIONS) !== 0) collectOptions(bytes.subarray(SNAME_AT, FILE_AT), pieces);
  pieces.delete(OPTION.overload);
  return { options: new Map([...pieces].map(([code, values]) => [code, Buffer.concat(values)])), overload };
}

function collectOptions(area: Buffer, pieces: Map<number, Buffer[]>): void {
  let at = 0;
  while (at < area.length) {
    const code = area.readUInt8(at);
    at += 1;
    if (code === OPTION.end) return;
    if (code === OPTION.pad) continue;
    const length = area[at];
    if (length === undefined || at + 1 + length > area.length) {
      throw malformed(`option ${code} reaches beyond the end of its field`);
    }
    const value = area.subarray(at + 1, at + 1 + length);
    const former = pieces.get(code);
    if (former === undefined) pieces.set(code, [value]);
    else former.push(value);
    at += 1 + length;
  }
}

function encodeIfPresent(options: DhcpPacket['options'], code: number): readonly Buffer[] {
  const value = options.get(code);
  return value === undefined ? [] : [encodeOption(code, value)];
}

/** RFC 3396: a value of more than 255 bytes is split into options of the same code, one behind the other. */
function encodeOption(code: number, value: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at === 0 || at < value.length; at += 255) {
    const piece = value.subarray(at, at + 255);
    pieces.push(Buffer.from([code, piece.length]), piece);
  }
  return Buffer.concat(pieces);
}

function byteLength(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0);
}

function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end === -1 ? field.length : end);
}

function malformed(fact: string): TinsmithError {
  return new TinsmithError('invalid_input', `not a DHCP packet that we can use: ${fact}`);
}
