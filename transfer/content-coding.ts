import { TinsmithError } from '#proto/errors.ts';
import type { HttpResponse } from './http-response.ts';

// Content codings, RFC 9110 8.4. Files are asked for with `Accept-Encoding: identity`, and what comes is the file, whatever the answer
// calls it, as for curl and wget, which decode nothing unless they are told to: many servers say `gzip` of a file that is a .gz itself, and
// its published sum is that of the .gz. A server that does compress on its way is found out by the sum.

/** The coding that an answer claims; undefined: none. */
export function contentCodingOf({ headers }: HttpResponse): string | undefined {
  const coding = headers.get('content-encoding')?.trim().toLowerCase() ?? '';
  return coding === '' || coding === 'identity' ? undefined : coding.slice(0, 40);
}

/** An error about other bytes than were expected, with the coding that may be why. */
export function withContentCoding(thrown: unknown, coding: string | undefined): unknown {
  if (coding === undefined || !(thrown instanceof TinsmithError) || thrown.code !== 'checksum_mismatch') return thrown;
  const fact = `its server calls it Content-Encoding: ${coding}, and it was taken as it came`;
  const fix = 'if the server compresses it on its way, have it send the file as it is';
  return new TinsmithError(thrown.code, `${thrown.message}; ${fact}: ${fix}`, { cause: thrown });
}
