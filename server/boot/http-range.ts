import type { IncomingHttpHeaders } from 'node:http';

/** The file behind a request. */
export interface Representation {
  readonly sizeBytes: number;
  /** Strong, with its quotes. */
  readonly etag: string;
  readonly modifiedAt: Date;
  readonly cacheControl?: string;
}

export interface ByteRange {
  readonly from: number;
  readonly lengthBytes: number;
}

export interface ChosenResponse {
  readonly status: 200 | 206 | 304 | 412 | 416;
  readonly headers: Readonly<Record<string, string | number>>;
  /** The body; absent: there is none. */
  readonly range?: ByteRange;
}

/**
 * Conditional and range requests of RFC 9110 §13 and §14, for GET and HEAD. One range: several, or one that is not
 * understood, are answered with the whole file, which the RFC allows. Dates in If-Range never match: a second is too coarse
 * to join two halves of an image, and the whole file is always right.
 */
export function chooseResponse(request: IncomingHttpHeaders, file: Representation): ChosenResponse {
  const headers = {
    etag: file.etag,
    'last-modified': file.modifiedAt.toUTCString(),
    'accept-ranges': 'bytes',
    ...(file.cacheControl !== undefined && { 'cache-control': file.cacheControl }),
  };
  if (request['if-match'] !== undefined && !matches(request['if-match'], file.etag, 'strong')) {
    return { status: 412, headers: { ...headers, 'content-length': 0 } };
  }
  if (request['if-none-match'] !== undefined && matches(request['if-none-match'], file.etag, 'weak')) {
    return { status: 304, headers };
  }
  const range = isRangeWanted(request, file.etag) ? readRange(request.range ?? '', file.sizeBytes) : 'whole';
  if (range === undefined) {
    return { status: 416, headers: { ...headers, 'content-length': 0, 'content-range': `bytes */${file.sizeBytes}` } };
  }
  const body = { ...headers, 'content-type': 'application/octet-stream' };
  if (range === 'whole') {
    const all = { from: 0, lengthBytes: file.sizeBytes };
    return { status: 200, headers: { ...body, 'content-length': file.sizeBytes }, range: all };
  }
  const contentRange = `bytes ${range.from}-${range.from + range.lengthBytes - 1}/${file.sizeBytes}`;
  return {
    status: 206,
    headers: { ...body, 'content-length': range.lengthBytes, 'content-range': contentRange },
    range,
  };
}

function isRangeWanted(request: IncomingHttpHeaders, etag: string): boolean {
  if (request.range === undefined) return false;
  const condition = request['if-range'];
  return condition === undefined || condition === etag;
}

/** `whole`: the header has no single range that we understand. Undefined: the range can't be satisfied (416). */
function readRange(header: string, sizeBytes: number): ByteRange | 'whole' | undefined {
  const [, first = '', last = ''] = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(header) ?? [];
  if (first === '') return last === '' ? 'whole' : rangeOf(Math.max(0, sizeBytes - Number(last)), sizeBytes);
  if (last === '') return rangeOf(Number(first), sizeBytes);
  if (Number(last) < Number(first)) return 'whole';
  return rangeOf(Number(first), Math.min(Number(last) + 1, sizeBytes));
}

function rangeOf(from: number, end: number): ByteRange | undefined {
  return from < end ? { from, lengthBytes: end - from } : undefined;
}

function matches(header: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  return header.split(',').some((piece) => {
    const tag = piece.trim();
    return tag === '*' || tag === etag || (comparison === 'weak' && tag === `W/${etag}`);
  });
}
