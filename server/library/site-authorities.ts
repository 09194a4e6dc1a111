import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { certificatesIn, trustAuthorities } from '#transfer/trust-authorities.ts';

/** Every task of every machine carries them. */
const MOST = 20;

/**
 * Reads a site's own authorities and lets this process trust them; machines are told with their tasks. Gives them as PEM, undefined
 * without a file. Throws `invalid_input`.
 */
export async function siteAuthorities(path: string): Promise<string | undefined> {
  if (path === '') return undefined;
  try {
    const certificates = certificatesIn(await readFile(path, 'utf8'));
    if (certificates.length === 0) throw new Error('it holds no certificate in PEM');
    if (certificates.length > MOST) throw new Error(`it holds ${certificates.length} certificates, ${MOST} at most`);
    const leaf = certificates.find((pem) => !new X509Certificate(pem).ca);
    if (leaf !== undefined) throw new Error(`${new X509Certificate(leaf).subject} is no certificate authority`);
    const pem = certificates.join('\n');
    trustAuthorities(pem);
    return pem;
  } catch (cause) {
    const reason = messageOf(cause);
    throw new TinsmithError('invalid_input', `cannot use the authorities in ${path} (--tls-ca): ${reason}`, { cause });
  }
}
