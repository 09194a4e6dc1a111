import { randomInt } from 'node:crypto';
import type { BootstrapToken } from './bootstrap/bootstrapper.ts';

/** As long as kubeadm's own: a machine that has to be powered on by hand may come late. */
const TOKEN_LIFE_MS = 24 * 3_600_000;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** A token of kubeadm's form, its 16 secret characters from a strong source. */
export function makeToken(now: Date): BootstrapToken {
  return { token: `${letters(6)}.${letters(16)}`, expiresAt: new Date(now.getTime() + TOKEN_LIFE_MS) };
}

function letters(count: number): string {
  return Array.from({ length: count }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}
