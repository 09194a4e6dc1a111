import type { ProxyParams } from '#proto/actions/proxy.ts';
import { httpGet } from './http-request.ts';
import type { HttpResponse } from './http-response.ts';
import type { KeptConnections } from './kept-connections.ts';
import { AGENT_NAME, type TurnInLine } from './turn-in-line.ts';

/** For servers that want to know who asks. */
export interface DownloadAccess {
  /** Whether any TLS certificate will do. */
  readonly skipVerify: boolean;
  /** The header's value for the URL's own server, and for no other that it sends us to. `renew`: the last was refused. */
  authorization(renew: boolean): Promise<string | undefined>;
}

/** How a file is asked for. */
export interface FileRequest {
  readonly proxy: ProxyParams;
  readonly signal: AbortSignal;
  readonly answerMs: number;
  readonly access?: DownloadAccess;
  readonly kept?: KeptConnections;
  readonly inLine?: (turn: TurnInLine, heldMs: number) => void;
}

/** One request for a file or a range of it, as it is: no coding on the way. A token that has ended is renewed once. */
export async function askForFile(
  url: URL,
  range: Readonly<Record<string, string>>,
  { access, ...options }: FileRequest,
): Promise<HttpResponse> {
  const headers = { 'accept-encoding': 'identity', 'user-agent': AGENT_NAME, ...range };
  const get = async (renew: boolean): Promise<HttpResponse> => {
    const authorization = await access?.authorization(renew);
    const given = authorization === undefined ? {} : { authorization };
    return httpGet(url, { ...options, headers, skipVerify: access?.skipVerify ?? false, ...given });
  };
  const response = await get(false);
  if (response.status !== 401 || access === undefined) return response;
  // Tokens have an end; a long download outlives it.
  response.destroy();
  return get(true);
}

/** A strong ETag or, if there is none, the date: what If-Range takes (RFC 9110 13.1.5). */
export function validatorOf({ headers }: HttpResponse): string | undefined {
  const etag = headers.get('etag');
  return etag !== undefined && !etag.startsWith('W/') ? etag : headers.get('last-modified');
}

/** Whether asking again is of no use. A request time-out, "too early" and "too many requests" say that it may work later. */
export function isFinalStatus(status: number): boolean {
  return status < 500 && ![408, 425, 429].includes(status);
}
