import type { FastifyReply, FastifyRequest } from 'fastify';
import { AGENT_NAME, LINE_HEADER, turnText } from '#transfer/turn-in-line.ts';
import type { ImageAdmission, ImagePlace } from './image-admission.ts';
import { plainAddress } from './plain-address.ts';
import { type FileToSend, sendFile } from './send-file.ts';

export interface ImageToSend extends Omit<FileToSend, 'place'> {
  readonly admission: ImageAdmission;
  /** For agents and for others; absent: for real networks. */
  readonly holdMs?: HoldMs;
}

/** How long an answer is held before its asker is told to come again. */
export interface HoldMs {
  /** Less than it waits for the head of an answer. */
  readonly agent: number;
  /** For its first, so that it soon knows, and says, that it waits. Absent: as for the others. */
  readonly agentFirst?: number;
  /** Other programs may take a 503 for the end, so they hear nothing for longer. */
  readonly other: number;
}

const HOLD_MS: HoldMs = { agent: 15_000, agentFirst: 1_000, other: 300_000 };
const RETRY_SECONDS = 1;

/**
 * As sendFile, and bodies wait for their turn: the answer is held without a head, and after a while it is 503 with `Retry-After` and
 * the place in the line. Everything without a body is answered at once. False if there is no such file.
 */
export async function sendImage(request: FastifyRequest, reply: FastifyReply, image: ImageToSend): Promise<boolean> {
  const { admission, holdMs = HOLD_MS, ...toSend } = image;
  const address = plainAddress(request.ip);
  {
    using place = admission.again(address);
    const answer = await sendFile(request, reply, { ...toSend, place: place ?? 'needed' });
    if (answer !== 'needsPlace') return answer === 'sent';
  }
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort(new Error('the client closed the connection')));
  const signal = AbortSignal.any([gone.signal, toSend.signal]);
  const isAgent = request.headers['user-agent'] === AGENT_NAME;
  const entered = await admission.enter(address, { ...holdOf(holdMs, isAgent), signal }).catch((thrown: unknown) => {
    if (!signal.aborted) throw thrown;
    return undefined;
  });
  if (entered === undefined) {
    reply.hijack();
    reply.raw.destroy();
    return true;
  }
  if ('placeInLine' in entered) return answerNotYet(reply, entered.placeInLine);
  // Nothing was open while it waited: the file is looked at anew.
  using place: ImagePlace = entered;
  return (await sendFile(request, reply, { ...toSend, place })) === 'sent';
}

function holdOf({ agent, agentFirst = agent, other }: HoldMs, isAgent: boolean) {
  return isAgent ? { holdMs: agent, firstHoldMs: agentFirst } : { holdMs: other, firstHoldMs: other };
}

function answerNotYet(reply: FastifyReply, place: number): true {
  void reply
    .code(503)
    .header('retry-after', RETRY_SECONDS)
    .header(LINE_HEADER, place)
    .header('cache-control', 'no-store')
    .type('text/plain; charset=utf-8')
    .send(`this machine ${turnText({ place })}\n`);
  return true;
}
