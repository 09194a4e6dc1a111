import type { ActionDeclaration } from './declaration.ts';
import { type Environment, invalidParam, isDevicePath, optionalBoolean, optionalText } from './environment.ts';

/** Remove what is on disks, and prove by reading back that it is gone. */
export interface WipeParams {
  /** Paths; `record`: the disks of the Hardware record; `internal`: every disk that is built into the machine. */
  readonly disks: readonly string[] | 'record' | 'internal';
  /** `auto`: the best that the disk can, and the next best when it fails or proves nothing. */
  readonly method: WipeMethodName | 'auto';
  /** How much of the disk is read back. */
  readonly verify: 'samples' | 'all';
}

export type WipeMethodName = (typeof WIPE_METHODS)[number];

/** Best first: that is the order of `auto`, which does not use the last one. */
export const WIPE_METHODS = [
  'nvme-sanitize',
  'nvme-format',
  'ata-secure-erase',
  'discard',
  'zero',
  'signatures',
] as const;

export const wipe: ActionDeclaration<WipeParams> = {
  summary: 'Erase disks by the best means that they have, and read back that nothing is left.',
  // A disk that was wiped halfway is wiped again from the start.
  repeatable: true,
  environment: {
    DEST_DISK: 'Disks to erase, separated by commas or spaces; default: the disks of the Hardware record.',
    ALL_DISKS: 'true: every disk that is built into the machine, instead of DEST_DISK; USB and removable ones are not.',
    METHOD:
      'auto (default) or one of nvme-sanitize, nvme-format, ata-secure-erase, discard, zero, signatures; the last leaves the data.',
    VERIFY: 'samples (default): every part of the disk is read back in places; all: every byte has to read as zero.',
  },
  parse: parseWipe,
};

function parseWipe(environment: Environment): WipeParams {
  const method = optionalText(environment, 'METHOD') ?? 'auto';
  const known = (['auto', ...WIPE_METHODS] as const).find((name) => name === method);
  if (known === undefined) throw invalidParam('METHOD', method, `use auto or one of ${WIPE_METHODS.join(', ')}`);
  const verify = optionalText(environment, 'VERIFY') ?? 'samples';
  if (verify !== 'samples' && verify !== 'all') throw invalidParam('VERIFY', verify, 'use samples or all');
  if (known === 'signatures' && verify === 'all') {
    throw invalidParam('VERIFY', verify, 'METHOD=signatures leaves the data on the disk: use METHOD=zero or samples');
  }
  return { disks: parseDisks(environment), method: known, verify };
}

function parseDisks(environment: Environment): WipeParams['disks'] {
  const named = (environment['DEST_DISK'] ?? '').split(/[\s,]+/).filter((device) => device !== '');
  const isAll = optionalBoolean(environment, 'ALL_DISKS') ?? false;
  if (isAll && named.length > 0) {
    throw invalidParam('ALL_DISKS', environment['ALL_DISKS'], 'leave it out or leave out DEST_DISK');
  }
  const wrong = named.find((device) => !isDevicePath(device));
  if (wrong !== undefined) throw invalidParam('DEST_DISK', wrong, 'use paths of disks below /dev, such as /dev/sda');
  if (isAll) return 'internal';
  return named.length === 0 ? 'record' : [...new Set(named)];
}
