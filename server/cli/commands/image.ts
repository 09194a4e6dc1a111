import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import type {
  AddImageRequest,
  CollectedView,
  ImageJobView,
  ImageListView,
  ImageView,
  WaitingImportView,
} from '../../api/image-types.ts';
import type { DeletedView } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command, CommandContext, CommandInput } from '../command.ts';
import { followImageJob, importHint } from '../follow-image-job.ts';
import { outcomeLine, replacedLine } from '../image-outcome-lines.ts';
import { imageSource, placeArgument } from '../image-source-argument.ts';
import { namedPath } from '../named-path.ts';
import { ageText, sizeText } from '../quantity-text.ts';
import { type Column, OUTPUT_OPTION, outputFormat, printDocument, printTable } from '../record-output.ts';
import { REGISTRY_OPTIONS, registryLogin } from '../registry-login.ts';
import { vouchedLines } from '../vouched-lines.ts';

/** A request has room for 8 MiB, and a key goes in base64. */
const LARGEST_KEY = 4 << 20;

export const imageAddCommand: Command = {
  name: 'image add',
  arguments: 'NAME SOURCE',
  takes: [2, 2],
  summary:
    'Import an image into the library from a file, URL or OCI reference; raw, qcow2, VMDK and others, compressed or not.',
  options: {
    sha256: { type: 'string', value: 'HEX', summary: 'SHA-256 that the source must have.' },
    checksums: {
      type: 'string',
      value: 'SOURCE',
      summary: 'List of SHA-256 or SHA-512 sums that names the source: a file or URL.',
    },
    signature: {
      type: 'string',
      value: 'SOURCE',
      summary: 'Signature over that list, or over the source without one: a file or URL; also a bundle of cosign.',
    },
    'public-key': {
      type: 'string',
      value: 'FILE',
      summary: 'Who must have signed: a key of minisign, cosign or OpenPGP.',
    },
    'image-sha256': { type: 'string', value: 'HEX', summary: 'SHA-256 that the decompressed image must have.' },
    level: { type: 'string', value: 'N', summary: 'How hard to compress, 1 to 19 (9).' },
    arch: {
      type: 'string',
      value: 'ARCH',
      choices: ['amd64', 'arm64'],
      summary: 'Which image of an OCI reference that names several (amd64).',
    },
    ...REGISTRY_OPTIONS,
    'for-url': {
      type: 'string',
      value: 'URL',
      summary: 'Workflows that name this URL get the image (serve --library-import).',
    },
    replace: {
      type: 'boolean',
      summary: 'Also when unfinished workflows need another image of that name: they get this one.',
    },
    'no-wait': { type: 'boolean', summary: 'Start it and return.' },
    ...OUTPUT_OPTION,
    ...API_OPTIONS,
  },
  examples: [
    'tinsmith image add debian-12 /srv/debian-12.raw.zst',
    'tinsmith image add debian-13 https://cloud.example/debian-13.qcow2',
    'tinsmith image add node oci://registry.example/os/node:1 --auth-file auth.json',
    'tinsmith image add d12 /media/d12.xz --for-url https://cloud.example/d12.xz',
    'tinsmith image add ubuntu http://10.0.0.2/u.img.gz --checksums SHA256SUMS',
    'tinsmith image add secret - < presigned-url.txt',
  ],
  async run(context, input) {
    const order = await orderOf(input, context);
    const started = await context.api.send<ImageJobView>('POST', '/images', order);
    if (input.has('no-wait')) {
      context.out.line(`image/${started.name} is being imported, job ${started.id}${importHint(started)}`);
      return 0;
    }
    const { image, replaced, outcome } = await followImageJob(started, context);
    if (image === undefined) throw new TinsmithError('internal', 'the server says that it imported nothing');
    if (image.warning !== undefined) context.out.note(`warning: image/${image.name}: ${image.warning}`);
    const added = { ...image, ...(outcome && { outcome }) };
    return printImages(context, input, [added], (out) => {
      out.line(outcomeLine(image, replaced === undefined ? outcome : 'created'));
      if (replaced !== undefined) out.line(replacedLine(replaced));
    });
  },
};

export const imageListCommand: Command = {
  name: 'image list',
  arguments: '',
  takes: [0, 0],
  summary: 'List the images of the library, the imports that run or failed, and those that wait and why.',
  options: { ...OUTPUT_OPTION, ...API_OPTIONS },
  examples: ['tinsmith image list', 'tinsmith image list -o json'],
  async run(context, input) {
    const list = await context.api.get<ImageListView>('/images');
    const { items, imports, failed, damaged, waiting } = list;
    const format = outputFormat(input.text('output'));
    if (format === 'json' || format === 'yaml') {
      printDocument(context.out, format, list);
      return 0;
    }
    const status = printImages(context, input, items, (out) => {
      const now = context.now();
      if (items.length === 0 && damaged.length === 0)
        out.note('the library is empty: add an image with tinsmith image add');
      const tables = [
        { rows: items.length, print: () => printTable(out, columns(now), items, format === 'wide' ? 'wide' : 'table') },
        { rows: damaged.length, print: () => printTable(out, DAMAGED_COLUMNS, damaged, 'table') },
        { rows: imports.length, print: () => printTable(out, importColumns(now), imports, 'table') },
        { rows: failed.length, print: () => printTable(out, failedColumns(now), failed, 'table') },
        { rows: waiting.length, print: () => printTable(out, waitingColumns(now), waiting, 'table') },
      ];
      for (const [index, { print }] of tables.filter(({ rows }) => rows > 0).entries()) {
        if (index > 0) out.line('');
        print();
      }
    });
    if (format === 'name') for (const { reason } of damaged) context.out.note(reason);
    return status;
  },
};

export const imageShowCommand: Command = {
  name: 'image show',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Show one image of the library, what vouched for it at its import, and how templates name it.',
  options: { ...OUTPUT_OPTION, ...API_OPTIONS },
  examples: ['tinsmith image show debian-12'],
  async run(context, input) {
    const image = await context.api.get<ImageView>(imagePath(input));
    return printImages(context, input, [image], (out) => {
      const facts = [
        ['name', image.name],
        ['IMG_URL', `library:${image.name}`],
        ['digest', `sha256-${image.digest}`],
        ['source', image.source],
        ...(image.forUrl === undefined ? [] : ([['for URL', image.forUrl]] as const)),
        ['imported', image.addedAt],
        ...(image.warning === undefined ? [] : ([['warning', image.warning]] as const)),
        ...(image.damage === undefined ? [] : ([['damaged', image.damage]] as const)),
        ...vouchedLines(image.vouchedBy).map((line, index) => [index === 0 ? 'vouched for by' : '', line] as const),
        ['image', `${sizeText(image.imageBytes)} (${image.imageBytes} bytes), SHA-256 ${image.imageSha256}`],
        ['of that data', sizeText(image.dataBytes)],
        ['in the library', sizeText(image.fileBytes)],
      ] as const;
      for (const [title, fact] of facts) out.line(`${title.padEnd(16)}${fact}`);
    });
  },
};

export const imageVerifyCommand: Command = {
  name: 'image verify',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Read an image of the library again and compare every byte with its signed index.',
  options: { ...OUTPUT_OPTION, ...API_OPTIONS },
  examples: ['tinsmith image verify debian-12', 'tinsmith image verify debian-12 -o json'],
  async run(context, input) {
    const started = await context.api.send<ImageJobView>('POST', `${imagePath(input)}/verify`);
    const job = await followImageJob(started, context);
    const format = outputFormat(input.text('output'));
    if (format === 'json' || format === 'yaml') printDocument(context.out, format, job);
    else context.out.line(format === 'name' ? `image/${job.name}` : `image/${job.name} is whole`);
    return 0;
  },
};

export const imageRemoveCommand: Command = {
  name: 'image remove',
  arguments: 'NAME...',
  takes: [1, 1000],
  summary: 'Take images out of the library; image gc frees their space.',
  options: {
    force: { type: 'boolean', summary: 'Also those that unfinished workflows need.' },
    ...API_OPTIONS,
  },
  examples: ['tinsmith image remove debian-11'],
  async run({ api, out }, input) {
    const query = input.has('force') ? '?force=true' : '';
    for (const name of new Set(input.positionals)) {
      const deleted = await api.send<DeletedView>('DELETE', `${namedPath('/images', name)}${query}`);
      out.line(`image/${deleted.name} removed`);
    }
    return 0;
  },
};

export const imageGcCommand: Command = {
  name: 'image gc',
  arguments: '',
  takes: [0, 0],
  summary: 'Delete the bytes of images that no name stands for and no unfinished workflow was given.',
  options: { ...OUTPUT_OPTION, ...API_OPTIONS },
  examples: ['tinsmith image gc', 'tinsmith image gc -o json'],
  async run({ api, out }, input) {
    const collected = await api.send<CollectedView>('POST', '/images/collect');
    const { digests, bytes } = collected;
    const format = outputFormat(input.text('output'));
    if (format === 'json' || format === 'yaml') {
      printDocument(out, format, collected);
      return 0;
    }
    const images = digests.length === 1 ? 'image' : 'images';
    out.line(`${digests.length} ${images} deleted, ${sizeText(bytes)} freed`);
    return 0;
  },
};

async function orderOf(input: CommandInput, context: CommandContext): Promise<AddImageRequest> {
  const [name = '', given = ''] = input.positionals;
  const source = await imageSource(given, input.has('password-stdin'), context.readStandardInput);
  const sha256 = input.text('sha256');
  const imageSha256 = input.text('image-sha256');
  const forUrl = input.text('for-url');
  const level = input.text('level');
  if (level !== undefined && !/^(1?[1-9]|10)$/.test(level)) {
    throw new TinsmithError('usage', `--level is "${level}": use a whole number from 1 to 19`);
  }
  return {
    name,
    source,
    ...(sha256 !== undefined && { sha256: hex('--sha256', sha256) }),
    ...(imageSha256 !== undefined && { imageSha256: hex('--image-sha256', imageSha256) }),
    ...(level !== undefined && { level: Number(level) }),
    ...(forUrl !== undefined && { forUrl }),
    ...(input.has('replace') && { replace: true }),
    ...(await publisherPart(input)),
    ...(await registryPart(source, input, context)),
  };
}

async function registryPart(
  source: string,
  input: CommandInput,
  context: CommandContext,
): Promise<Pick<AddImageRequest, 'architecture' | 'credentials'>> {
  const options = ['arch', ...Object.keys(REGISTRY_OPTIONS)];
  if (!/^oci(\+http)?:/.test(source)) {
    const given = options.find((option) => input.has(option) || input.text(option) !== undefined);
    if (given === undefined) return {};
    throw new TinsmithError(
      'usage',
      `--${given} is for OCI references (oci://registry/name:tag), and the source is none`,
    );
  }
  const credentials = await registryLogin(source, input, context);
  const arch = input.text('arch');
  return {
    ...(arch !== undefined && { architecture: arch === 'arm64' ? 'arm64' : 'amd64' }),
    ...(credentials && { credentials }),
  };
}

/** What the publisher says about the source; the server reads it, but for the key, which is the operator's own. */
async function publisherPart(
  input: CommandInput,
): Promise<Pick<AddImageRequest, 'checksums' | 'signature' | 'publicKey'>> {
  const [checksums, signature] = [input.text('checksums'), input.text('signature')];
  const file = input.text('public-key');
  if (signature !== undefined && file === undefined) {
    throw new TinsmithError('usage', 'a signature proves nothing without the public key: give it with --public-key');
  }
  return {
    ...(checksums !== undefined && { checksums: await placeArgument('--checksums', checksums) }),
    ...(signature !== undefined && { signature: await placeArgument('--signature', signature) }),
    ...(file !== undefined && { publicKey: await readKey(file) }),
  };
}

async function readKey(path: string): Promise<string> {
  try {
    // A pipe without a writer would be waited for for ever, and a device has no end.
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await handle.stat();
    if (!stats.isFile()) {
      const fact = stats.isDirectory() ? 'it is a directory' : 'it is a pipe or a device';
      throw new TinsmithError('invalid_input', `cannot read the public key ${path}: ${fact}: name the file of the key`);
    }
    if (stats.size <= LARGEST_KEY) return (await handle.readFile()).toString('base64');
    const fact = `${path} has ${stats.size} bytes of keys, ${LARGEST_KEY} at most`;
    throw new TinsmithError('invalid_input', `${fact}: export only the key that signs`);
  } catch (cause) {
    if (cause instanceof TinsmithError) throw cause;
    // As of the files that the server reads.
    throw new TinsmithError('not_found', `cannot read the public key ${path}: ${messageOf(cause)}`, { cause });
  }
}

function hex(option: string, text: string): string {
  const [, digits] = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(text) ?? [];
  if (digits !== undefined) return digits.toLowerCase();
  throw new TinsmithError('usage', `${option} is "${text}": use 64 hexadecimal digits`);
}

function imagePath(input: CommandInput): string {
  return namedPath('/images', input.positionals[0] ?? '');
}

function printImages(
  { out }: CommandContext,
  input: CommandInput,
  images: readonly ImageView[],
  print: (out: CommandContext['out'], format: 'table' | 'wide') => void,
): number {
  const format = outputFormat(input.text('output'));
  if (format === 'json' || format === 'yaml') printDocument(out, format, images[0]);
  else if (format === 'name') for (const { name } of images) out.line(`image/${name}`);
  else print(out, format);
  return 0;
}

function farText({ done, total = 0 }: ImageJobView): string {
  return total === 0 ? sizeText(done) : `${Math.floor((100 * done) / total)} %`;
}

function importColumns(now: Date): readonly Column<ImageJobView>[] {
  return [
    { title: 'IMPORTING', text: ({ name }) => name },
    { title: 'DONE', text: farText },
    { title: 'AGE', text: ({ startedAt }) => ageText(now.getTime() - Date.parse(startedAt)) },
    { title: 'FOR URL', text: ({ forUrl = '' }) => forUrl },
    { title: 'TROUBLE', text: importTrouble },
  ];
}

function importTrouble({ trouble = '', workflows }: ImageJobView): string {
  return workflows?.length === 0 ? `no workflow waits for it any more${trouble && `; ${trouble}`}` : trouble;
}

const DAMAGED_COLUMNS: readonly Column<ImageListView['damaged'][number]>[] = [
  { title: 'DAMAGED', text: ({ name }) => name },
  { title: 'WHY', text: ({ reason }) => reason },
];

function failedColumns(now: Date): readonly Column<ImageJobView>[] {
  return [
    { title: 'FAILED', text: ({ name }) => name },
    { title: 'AGE', text: ({ startedAt, finishedAt }) => ageText(now.getTime() - Date.parse(finishedAt ?? startedAt)) },
    { title: 'WHY', text: ({ error }) => error?.message ?? '' },
  ];
}

function waitingColumns(now: Date): readonly Column<WaitingImportView>[] {
  return [
    { title: 'WAITING', text: ({ name }) => name },
    { title: 'AGE', text: ({ since }) => ageText(now.getTime() - Date.parse(since)) },
    { title: 'FOR URL', text: ({ source }) => source },
    { title: 'WORKFLOWS', text: ({ workflows }) => shortList(workflows) },
    { title: 'WHY', text: ({ reason }) => reason },
  ];
}

function shortList(names: readonly string[]): string {
  return names.length <= 3 ? names.join(',') : `${names.slice(0, 2).join(',')} and ${names.length - 2} more`;
}

function columns(now: Date): readonly Column<ImageView>[] {
  return [
    { title: 'NAME', text: ({ name }) => name },
    { title: 'SIZE', text: ({ imageBytes }) => sizeText(imageBytes) },
    { title: 'STORED', text: ({ fileBytes }) => sizeText(fileBytes) },
    { title: 'AGE', text: ({ addedAt }) => ageText(now.getTime() - Date.parse(addedAt)) },
    { title: 'SOURCE', text: ({ source }) => source },
    { title: 'DIGEST', isWide: true, text: ({ digest }) => `sha256-${digest}` },
  ];
}
