import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './hostile-server.ts';

export interface FarServer {
  readonly answer: Answer;
  /** Requests under way: now, and the most at once. */
  readonly underWay: { now: number; most: number };
}

/** A good server at a distance: each answer begins a round trip later, and each connection carries one window of bytes a round trip. */
export function farServer({ roundTripMs, windowBytes }: { roundTripMs: number; windowBytes: number }): FarServer {
  const underWay = { now: 0, most: 0 };
  return {
    underWay,
    answer: (request, response, body) => {
      const { from, end } = rangeOf(request, body.length);
      underWay.now += 1;
      underWay.most = Math.max(underWay.most, underWay.now);
      let at = from;
      const timer = setInterval(() => {
        if (!response.headersSent) writeHead(request, response, body.length);
        if (response.writableNeedDrain) return;
        const next = Math.min(end, at + windowBytes);
        response.write(body.subarray(at, next));
        at = next;
        if (at < end) return;
        clearInterval(timer);
        response.end();
      }, roundTripMs);
      response.on('close', () => {
        clearInterval(timer);
        underWay.now -= 1;
      });
    },
  };
}

export function rangeOf({ headers }: IncomingMessage, bytes: number): { readonly from: number; readonly end: number } {
  const [, from = '0', last = String(bytes - 1)] = /^bytes=(\d+)-(\d+)?$/.exec(headers.range ?? '') ?? [];
  return { from: Number(from), end: Number(last) + 1 };
}

/** 200 for the whole file, 206 for a range. */
export function writeHead(request: IncomingMessage, response: ServerResponse, bytes: number, etag = '"v1"'): void {
  const { from, end } = rangeOf(request, bytes);
  const headers = { etag, 'content-length': end - from };
  if (request.headers.range === undefined) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${end - 1}/${bytes}` });
}
