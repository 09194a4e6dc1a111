import type { ActionDeclaration } from './declaration.ts';
import { type Environment, inVariable, invalidParam, optionalInteger, optionalText } from './environment.ts';
import { parseStorageLayout, type StorageLayout } from './storage-layout.ts';

/** Partition, format or mount disks as the metadata describes them. */
export interface RootioParams {
  readonly step: RootioStep;
  readonly table: 'gpt' | 'mbr';
  readonly layout: { readonly inline: StorageLayout } | { readonly url: string };
}

export type RootioStep = (typeof STEPS)[number];

const STEPS = ['partition', 'format', 'mount', 'wipe'] as const;

export const rootio: ActionDeclaration<RootioParams> = {
  summary: 'Partition, format, mount or wipe disks and LVM groups as the storage part of the metadata says.',
  // Each step starts over from nothing: a new table, a new file system, a mount that may exist already.
  repeatable: true,
  fixes: [
    'Any failure fails the action; the published one logs it and succeeds.',
    '`METADATA` gives the description without a metadata service; a service that does not answer is an error that says so.',
  ],
  environment: {
    METADATA: 'JSON with the storage description, instead of asking a metadata service (Tinsmith).',
    MIRROR_HOST: 'Host of the metadata service; asked for /metadata.',
    METADATA_SERVICE_PORT: 'Its port; default 50061.',
    MBR: 'Not empty: make an MBR partition table instead of a GPT.',
    STEP: 'partition, format, mount or wipe, if the action has no command (Tinsmith).',
    TEST: 'Accepted; use METADATA instead of a file.',
    JSON_FILE: 'Accepted; use METADATA instead of a file.',
  },
  parse: parseRootio,
};

function parseRootio(environment: Environment, command: readonly string[]): RootioParams {
  const word = command.find((part) => !part.endsWith('rootio')) ?? optionalText(environment, 'STEP');
  const step = STEPS.find((known) => known === word);
  if (step === undefined) throw invalidParam('the command of rootio', word, `use one of ${STEPS.join(', ')}`);
  const table = optionalText(environment, 'MBR') === undefined ? 'gpt' : 'mbr';
  return { step, table, layout: parseLayoutSource(environment) };
}

function parseLayoutSource(environment: Environment): RootioParams['layout'] {
  const inline = optionalText(environment, 'METADATA');
  if (inline !== undefined) return { inline: inVariable('METADATA', () => parseStorageLayout(inline, 'METADATA')) };
  const host = optionalText(environment, 'MIRROR_HOST');
  if (host === undefined) {
    throw invalidParam('METADATA', undefined, 'give the storage description in it, or set MIRROR_HOST');
  }
  const port = optionalInteger(environment, 'METADATA_SERVICE_PORT', { least: 1, most: 65_535 }) ?? 50_061;
  const url = URL.parse(`http://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}/metadata`);
  if (url === null) throw invalidParam('MIRROR_HOST', host, 'use a host name or an address');
  return { url: url.href };
}
