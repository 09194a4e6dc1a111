import { messageOf, TinsmithError } from '#proto/errors.ts';
import { pause } from '#transfer/pause.ts';

const LONGEST_BYTES = 16 << 20;
const ANSWER_MS = 10_000;
const ROUNDS = 3;
const PAUSE_MS = 2000;

/**
 * The user data of this machine from the first metadata service that has it. A service may be down while it moves to another
 * machine, so the list is asked a few times. Throws `download_failed` that names every answer.
 */
export async function fetchUserData(urls: readonly string[], signal: AbortSignal): Promise<Buffer> {
  let answers: string[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    answers = [];
    for (const url of urls) {
      const answer = await askOnce(new URL(`${url.replace(/\/+$/, '')}/2009-04-04/user-data`), signal);
      if (Buffer.isBuffer(answer)) return answer;
      answers.push(answer);
    }
    if (round < ROUNDS) await pause(PAUSE_MS, signal);
  }
  throw new TinsmithError('download_failed', `no metadata service gave user data: ${answers.join('; ')}`);
}

/** The body, or the reason why there is none. Throws only when aborted. */
async function askOnce(url: URL, signal: AbortSignal): Promise<Buffer | string> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  try {
    let response = await fetch(url, { signal: limit });
    if (response.status === 401) {
      await response.body?.cancel();
      response = await fetch(url, { signal: limit, headers: { [TOKEN_HEADER]: await askToken(url, limit) } });
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      return `${url.host} answered ${response.status}`;
    }
    return await readBody(response, url);
  } catch (thrown) {
    signal.throwIfAborted();
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
    return `${url.host}: ${messageOf(cause)}`;
  }
}

const TOKEN_HEADER = 'x-aws-ec2-metadata-token';

/** For a service that asks for IMDSv2 tokens; one that gives none gets an empty one, and says what it thinks of that. */
async function askToken(url: URL, signal: AbortSignal): Promise<string> {
  const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': '60' };
  const response = await fetch(new URL('/latest/api/token', url), { method: 'PUT', headers, signal });
  const text = await response.text();
  return response.ok ? text.trim() : '';
}

async function readBody(response: Response, url: URL): Promise<Buffer | string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    parts.push(part);
    length += part.length;
    if (length > LONGEST_BYTES) return `${url.host} sent more than ${LONGEST_BYTES} bytes`;
  }
  return Buffer.concat(parts);
}
