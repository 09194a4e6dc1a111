import { systemCodeOf } from '#proto/errors.ts';

/** A failure where another server sent us; its code is that of the failure there. */
export class RedirectedError extends Error {
  readonly code: string | undefined;

  constructor(shown: string, cause: unknown) {
    super(`it redirects to ${shown}: ${contactFact(cause)}`, { cause });
    this.code = systemCodeOf(cause);
  }
}

/** What is to be done where nobody listens, no host has that name, or no TLS is spoken; undefined: it may work in a moment. */
export function addressFix(thrown: unknown): string | undefined {
  const code = systemCodeOf(thrown) ?? '';
  if (['ECONNREFUSED', 'ENOTFOUND'].includes(code)) return 'correct the address, or start its server';
  // No name server answers, or it does not know now: somebody who waits is better told.
  if (code === 'EAI_AGAIN') return 'correct the name, or the name servers of this host';
  return code === 'EPROTO' ? 'use http:// or the port that speaks TLS' : undefined;
}

/**
 * What is to be done about a server's certificate that is not trusted; undefined: it is something else. `now`: what the clock of this
 * host says, which is often wrong on a machine that boots.
 */
export function certificateFix(thrown: unknown, now = new Date()): string | undefined {
  const code = systemCodeOf(thrown) ?? '';
  if (UNTRUSTED.has(code)) return 'name the PEM file of its authority with tinsmith serve --tls-ca';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'use the name that is in its certificate';
  if (!UNTIMELY.has(code)) return undefined;
  return `renew it, or set the clock of this host, which says ${now.toISOString().slice(0, 16)}Z`;
}

/** After seven tries. A balancer may lead to another host meanwhile, or a host gets its new certificate. */
const DISTRUST_MS = 15_000;

/** How long a server is asked again whose certificate is not trusted: what is wrong there or here seldom mends itself. */
export class Distrust {
  readonly #limitMs: number;
  #since: number | undefined;

  constructor(limitMs = DISTRUST_MS) {
    this.#limitMs = limitMs;
  }

  /** What is to be done, once the certificate is all that kept failing for so long. `now`: by performance.now(). */
  fixAfter(thrown: unknown, now: number): string | undefined {
    const fix = certificateFix(thrown);
    this.#since = fix === undefined ? undefined : (this.#since ?? now);
    return this.#since !== undefined && now - this.#since >= this.#limitMs ? fix : undefined;
  }
}

/** By whom Node's TLS, which is OpenSSL's, is not convinced. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_UNTRUSTED',
  'CERT_SIGNATURE_FAILURE',
  'INVALID_CA',
]);
const UNTIMELY: ReadonlySet<string> = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

/** Why a server was not reached, in words of ours where Node's are for its programmers. */
export function contactFact(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  if (thrown instanceof RedirectedError) return thrown.message;
  const code = systemCodeOf(thrown);
  if (code === 'EPROTO') return 'it does not speak TLS (EPROTO)';
  const [fact = ''] = thrown.message.split('; if the root CA');
  if (certificateFix(thrown) !== undefined) return `its certificate is not accepted: ${fact}`;
  // Of a host with several addresses it has no words of its own.
  if (fact === '' && code === 'ECONNREFUSED') return 'the connection is refused (ECONNREFUSED)';
  return fact === '' || fact === 'aborted' ? `the connection was cut, ${String(code)}` : fact;
}
