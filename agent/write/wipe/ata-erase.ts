import { TinsmithError } from '#proto/errors.ts';
import { ask, command, type WipeMethod, type WipeTarget } from './wipe-method.ts';

// ATA/ATAPI Command Set 4 (ACS-4), security feature set (4.18). By hdparm.

/** The feature wants a password. It is no secret: a disk that an interrupted run has locked is opened with it by the next one. */
const PASSWORD = 'tinsmith';
const AS_USER = ['--user-master', 'u'] as const;

/** What a drive says of its security feature set. */
interface AtaSecurity {
  readonly isSupported: boolean;
  readonly isEnabled: boolean;
  readonly isLocked: boolean;
  readonly isFrozen: boolean;
  readonly isExpired: boolean;
  readonly hasEnhancedErase: boolean;
}

/** SECURITY ERASE UNIT, the enhanced one where there is one, by hdparm. A drive that the firmware has frozen takes none. */
export const ataSecureErase: WipeMethod = {
  name: 'ata-secure-erase',
  leaves: 'noise',
  fault: async (target) => {
    if (target.abilities.transport !== 'sata') return 'it is no SATA disk';
    const security = await securityOf(target);
    if (security === undefined || !security.isSupported) return 'the disk has no security erase';
    if (security.isFrozen) return 'the firmware has frozen its security settings';
    return security.isExpired ? 'its count of password tries is used up until the power is cycled' : undefined;
  },
  erase: async (target) => {
    const { node } = target.abilities;
    const security = await securityOf(target);
    if (security?.isLocked === true) await command(target, ['hdparm', ...AS_USER, '--security-unlock', PASSWORD, node]);
    if (security?.isEnabled !== true)
      await command(target, ['hdparm', ...AS_USER, '--security-set-pass', PASSWORD, node]);
    const erase = security?.hasEnhancedErase === true ? '--security-erase-enhanced' : '--security-erase';
    try {
      target.log(`${node}: the disk erases itself; it says nothing until it is done, which can take hours`);
      await command(target, ['hdparm', ...AS_USER, erase, PASSWORD, node]);
      await requireUnlocked(target);
    } catch (thrown) {
      await openAgain(target);
      throw thrown;
    }
  },
};

/** A disk that was erased has no password any more. One that has was not. */
async function requireUnlocked(target: WipeTarget): Promise<void> {
  const security = await securityOf(target);
  if (security !== undefined && !security.isEnabled) return;
  throw new TinsmithError('command_failed', 'the disk still has its password after the security erase');
}

/** Not under the action's signal, which may be what ended it: a disk with a password is lost to everybody after a power cycle. */
async function openAgain(target: WipeTarget): Promise<void> {
  const argv = ['hdparm', ...AS_USER, '--security-disable', PASSWORD, target.abilities.node];
  const signal = AbortSignal.timeout(60_000);
  const { exitCode } = await ask({ ...target, signal }, argv).catch(() => ({ exitCode: 1 }));
  if (exitCode !== 0) {
    target.log(
      `${target.device}: its security password may still be set; it is "${PASSWORD}" (hdparm --security-disable)`,
    );
  }
}

async function securityOf(target: WipeTarget): Promise<AtaSecurity | undefined> {
  const { exitCode, text } = await ask(target, ['hdparm', '-I', target.abilities.node]);
  return exitCode === 0 ? parseSecurity(text) : undefined;
}

/** The part "Security:" of what `hdparm -I` prints; a `not` before a word denies it. */
function parseSecurity(text: string): AtaSecurity | undefined {
  const [, part] = /^Security:[^\n]*\n((?:[ \t]+[^\n]*\n?)*)/m.exec(text) ?? [];
  if (part === undefined) return undefined;
  const says = (word: string): boolean => new RegExp(`^\\s+${word}`, 'm').test(part);
  return {
    isSupported: says('supported(?!:)'),
    isEnabled: says('enabled'),
    isLocked: says('locked'),
    isFrozen: says('frozen'),
    isExpired: says('expired'),
    hasEnhancedErase: says('supported: enhanced erase'),
  };
}
