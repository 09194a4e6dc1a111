import { TinsmithError } from '#proto/errors.ts';
import { pause } from '#transfer/pause.ts';
import { ask, command, type WipeMethod, type WipeTarget } from './wipe-method.ts';

// NVM Express Base Specification 2.0c: Identify Controller (5.17.2.1), Format NVM (5.14), Sanitize (5.22, 8.21). By nvme-cli.

interface Controller {
  /** SANICAP bits. */
  readonly canCryptoErase: boolean;
  readonly canBlockErase: boolean;
  /** OACS bit 1. */
  readonly canFormat: boolean;
  /** FNA: secure erase and format reach every namespace; cryptographic erase is there. */
  readonly formatsAll: boolean;
  readonly canFormatCrypto: boolean;
}

const POLL_MS = 1000;
/** Longer than any drive needs; the action has its own time limit. */
const FORMAT_MS = 24 * 3_600_000;

/** All of the drive, what the host cannot reach included. It goes on through power cuts, and nothing ends it. */
export const nvmeSanitize: WipeMethod = {
  name: 'nvme-sanitize',
  leaves: 'noise',
  fault: async (target) => {
    const controller = await controllerOf(target);
    if (typeof controller === 'string') return controller;
    if (!controller.canCryptoErase && !controller.canBlockErase) return 'the drive has no sanitize by erasing';
    return otherNamespaces(target);
  },
  erase: async (target) => {
    const controller = await controllerOf(target);
    if (typeof controller === 'string') throw new TinsmithError('unsupported', controller);
    const state = await sanitizeState(target);
    // One that an earlier try began: it has the drive until it ends.
    if (state.kind !== 'running') {
      const { node } = target.abilities;
      if (state.kind === 'failed') await command(target, ['nvme', 'sanitize', node, '--sanact=1']);
      await command(target, ['nvme', 'sanitize', node, `--sanact=${controller.canCryptoErase ? 4 : 2}`, '--ause']);
    }
    await sanitizeEnd(target);
  },
};

/** Format NVM with a secure erase: one namespace, or all of them on drives that cannot tell them apart. */
export const nvmeFormat: WipeMethod = {
  name: 'nvme-format',
  leaves: 'noise',
  fault: async (target) => {
    const controller = await controllerOf(target);
    if (typeof controller === 'string') return controller;
    if (!controller.canFormat) return 'the drive has no format command';
    return controller.formatsAll ? otherNamespaces(target) : undefined;
  },
  erase: async (target) => {
    const controller = await controllerOf(target);
    if (typeof controller === 'string') throw new TinsmithError('unsupported', controller);
    const { node } = target.abilities;
    const erase = controller.canFormatCrypto ? 2 : 1;
    // Without --lbaf the block size stays as it is.
    await command(target, ['nvme', 'format', node, `--ses=${erase}`, '--force', `--timeout=${FORMAT_MS}`]);
  },
};

async function controllerOf(target: WipeTarget): Promise<Controller | string> {
  const { node, transport } = target.abilities;
  if (transport !== 'nvme') return 'it is no NVMe drive';
  const { exitCode, text } = await ask(target, ['nvme', 'id-ctrl', node, '--output-format=json']);
  const fields = exitCode === 0 ? parseNumbers(text, ['sanicap', 'oacs', 'fna']) : undefined;
  if (fields === undefined) return `the drive does not say what it can: ${text.trim().slice(-200)}`;
  const { sanicap = 0, oacs = 0, fna = 0 } = fields;
  return {
    canCryptoErase: (sanicap & 0x1) !== 0,
    canBlockErase: (sanicap & 0x2) !== 0,
    canFormat: (oacs & 0x2) !== 0,
    formatsAll: (fna & 0x3) !== 0,
    canFormatCrypto: (fna & 0x4) !== 0,
  };
}

/** Undefined when the text is no JSON object or lacks one of the numbers. */
function parseNumbers(text: string, names: readonly string[]): Readonly<Record<string, number>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    const fields = new Map<string, unknown>(
      typeof parsed === 'object' && parsed !== null ? Object.entries(parsed) : [],
    );
    const numbers = names.map((name) => [name, fields.get(name)] as const);
    return numbers.every((pair): pair is readonly [string, number] => typeof pair[1] === 'number')
      ? Object.fromEntries(numbers)
      : undefined;
  } catch {
    return undefined;
  }
}

/** What reaches the whole drive must not take along a namespace that nobody gave us. */
async function otherNamespaces(target: WipeTarget): Promise<string | undefined> {
  const { node } = target.abilities;
  const all = await ask(target, ['nvme', 'list-ns', node, '--all']);
  // Drives without namespace management know only the attached ones.
  const said = all.exitCode === 0 ? all : await ask(target, ['nvme', 'list-ns', node]);
  const count = said.text.match(/^\[\s*\d+\]:\s*0x[1-9a-f]/gim)?.length ?? 0;
  if (said.exitCode === 0 && count === 1) return undefined;
  return count > 1
    ? `it would erase all ${count} namespaces of the drive`
    : `the drive does not list its namespaces: ${said.text.trim().slice(-200)}`;
}

type SanitizeState =
  | { readonly kind: 'idle' | 'done' | 'failed' }
  | { readonly kind: 'running'; readonly share: number };

async function sanitizeState(target: WipeTarget): Promise<SanitizeState> {
  const text = await command(target, ['nvme', 'sanitize-log', target.abilities.node]);
  const status = /\(SSTAT\)\s*:\s*(0x[\da-f]+|\d+)/i.exec(text)?.[1];
  if (status === undefined) {
    throw new TinsmithError('command_failed', `nvme sanitize-log names no status: ${text.trim().slice(0, 200)}`);
  }
  switch (Number(status) & 0x7) {
    case 0:
      return { kind: 'idle' };
    case 2:
      return { kind: 'running', share: Number(/\(SPROG\)\s*:\s*(\d+)/i.exec(text)?.[1] ?? 0) / 65_536 };
    case 3:
      return { kind: 'failed' };
    default:
      return { kind: 'done' };
  }
}

async function sanitizeEnd(target: WipeTarget): Promise<void> {
  for (;;) {
    const state = await sanitizeState(target);
    if (state.kind === 'done') return;
    if (state.kind !== 'running') {
      throw new TinsmithError(
        'command_failed',
        `the drive says that its sanitize ${state.kind === 'idle' ? 'never began' : 'failed'}`,
      );
    }
    target.progress(state.share);
    await pause(POLL_MS, target.signal);
  }
}
