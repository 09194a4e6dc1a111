import type { ChangeMirrorsRequest, ImageServingView, MirrorsView } from '../../api/image-types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command } from '../command.ts';
import { namedPath } from '../named-path.ts';
import { ageText, sizeText } from '../quantity-text.ts';
import { type Column, OUTPUT_OPTION, outputFormat, printDocument, printTable } from '../record-output.ts';

export const imageMirrorCommand: Command = {
  name: 'image mirror',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'List or change where else machines find an image: copies of the library’s blobs, asked before the server.',
  options: {
    add: { type: 'string', multiple: true, value: 'URL', summary: 'Folder with a copy; behind those that there are.' },
    remove: { type: 'string', multiple: true, value: 'URL', summary: 'Take it off the list.' },
    ...OUTPUT_OPTION,
    ...API_OPTIONS,
  },
  examples: [
    'tinsmith image mirror debian-12 --add http://rack1.example.org/library/',
    'tinsmith image mirror debian-12 --remove http://rack1.example.org/library/',
    'tinsmith image mirror debian-12',
  ],
  async run({ api, out }, input) {
    const name = input.positionals[0] ?? '';
    const path = `${namedPath('/images', name)}/mirrors`;
    const change: ChangeMirrorsRequest = { add: [...input.texts('add')], remove: [...input.texts('remove')] };
    const isChange = input.has('add') || input.has('remove');
    const view = isChange ? await api.send<MirrorsView>('POST', path, change) : await api.get<MirrorsView>(path);
    const format = outputFormat(input.text('output'));
    if (format === 'json' || format === 'yaml') printDocument(out, format, view);
    else if (view.items.length === 0) out.note(`image/${name} has no mirrors of its own`);
    else for (const url of view.items) out.line(url);
    return 0;
  },
};

type Machine = ImageServingView['machines'][number];

export const imageServingCommand: Command = {
  name: 'image serving',
  arguments: '',
  takes: [0, 0],
  summary: 'Show which machines fetch images now, how fast, and which wait for their turn.',
  options: { ...OUTPUT_OPTION, ...API_OPTIONS },
  examples: ['tinsmith image serving', 'tinsmith image serving -o json'],
  async run({ api, out }, input) {
    const view = await api.get<ImageServingView>('/image-serving');
    const { machines } = view;
    const format = outputFormat(input.text('output'));
    if (format === 'json' || format === 'yaml') printDocument(out, format, view);
    else if (format === 'name') for (const machine of machines) out.line(nameOf(machine));
    else if (machines.length === 0) out.note(`no machine fetches an image from this server (${limitsText(view)})`);
    else {
      printTable(out, COLUMNS, machines, format);
      out.note(limitsText(view));
    }
    if (format === 'table' || format === 'wide') for (const machine of view.sharing) out.note(sharingText(machine));
    return 0;
  },
};

const COLUMNS: readonly Column<Machine>[] = [
  { title: 'MACHINE', text: nameOf },
  { title: 'ADDRESS', text: ({ address }) => address },
  { title: 'STATE', text: stateText },
  { title: 'WAITED', text: ({ waitedSeconds }) => ageText(waitedSeconds * 1000) },
  { title: 'SENT', text: ({ sentBytes }) => sizeText(sentBytes) },
  { title: 'RATE', text: ({ rate }) => `${sizeText(rate)}/s` },
  { title: 'REQUESTS', isWide: true, text: ({ requests }) => String(requests) },
  { title: 'SINCE', isWide: true, text: ({ since }) => since },
];

function nameOf({ hardware, address }: Machine): string {
  return hardware ?? address;
}

function stateText({ state, placeInLine, isSlow }: Machine): string {
  if (state === 'waiting') return `waiting, place ${placeInLine}`;
  return isSlow ? 'served, slow: shares its place' : 'served';
}

function sharingText({ hardware, digest, frames }: ImageServingView['sharing'][number]): string {
  return `${hardware} gives ${frames} ${frames === 1 ? 'frame' : 'frames'} of sha256-${digest.slice(0, 12)} to machines that write it, too`;
}

function limitsText({ streams, egress }: ImageServingView): string {
  const machines = streams === 0 ? 'any number of machines at once' : `${streams} machines at once`;
  return `${machines}, ${egress === 0 ? 'no limit of bytes' : `${sizeText(egress)}/s for all`}`;
}
