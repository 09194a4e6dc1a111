import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';
import type { ClusterConfigOptions, Command, CommandContext, CommandInput, OptionSpec } from '../command.ts';
import { FILENAME_OPTION, readManifestFiles } from '../manifest-files.ts';
import { problemLine } from '../problem-lines.ts';
import { didYouMean } from '../suggest.ts';

const OUT_OPTION: Readonly<Record<'out', OptionSpec>> = {
  out: { type: 'string', value: 'FILE', summary: 'New file for the result (standard output).' },
};

const OS_FAMILY: OptionSpec = {
  type: 'string',
  value: 'FAMILY',
  choices: ['ubuntu', 'redhat', 'bottlerocket'],
  summary: 'Operating system of the nodes.',
};

export const generateClusterConfigCommand: Command = {
  name: 'generate clusterconfig',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Print a cluster file to begin with; it is valid as it is. Needs no server.',
  options: {
    endpoint: { type: 'string', value: 'IP', summary: 'Free address for the control plane.' },
    'tinkerbell-ip': { type: 'string', value: 'IP', summary: 'Address of this server that the machines reach.' },
    'os-family': { ...OS_FAMILY, summary: 'Operating system of the nodes (ubuntu).' },
    'kubernetes-version': { type: 'string', value: 'VERSION', summary: 'Such as 1.30 (the newest that is supported).' },
    'control-plane-count': { type: 'string', value: 'COUNT', summary: 'Control-plane nodes, an odd number (1).' },
    'worker-count': {
      type: 'string',
      value: 'COUNT',
      summary: 'Worker nodes; 0: the control plane does the work (1).',
    },
    image: { type: 'string', value: 'URL', summary: 'URL or library:NAME of the image (library:FAMILY-VERSION).' },
    'ssh-key': { type: 'string', value: 'FILE', summary: 'Public key file of whoever may log in.' },
    ...OUT_OPTION,
  },
  examples: ['tinsmith generate clusterconfig mgmt --endpoint IP --tinkerbell-ip IP'],
  async run(context, input) {
    const text = await context.parts.generate.clusterConfig(await clusterConfigOptions(input));
    await put(context, input, text);
    return 0;
  },
};

async function clusterConfigOptions(input: CommandInput): Promise<ClusterConfigOptions> {
  const [name = ''] = input.positionals;
  const [endpoint, tinkerbellIP] = [input.text('endpoint'), input.text('tinkerbell-ip')];
  if (endpoint === undefined || tinkerbellIP === undefined) {
    throw new TinsmithError('usage', 'a cluster needs two addresses: use --endpoint IP and --tinkerbell-ip IP');
  }
  const [osFamily, kubernetesVersion, image] = [
    input.text('os-family'),
    input.text('kubernetes-version'),
    input.text('image'),
  ];
  const [controlPlaneCount, workerCount] = [input.text('control-plane-count'), input.text('worker-count')];
  const keyFile = input.text('ssh-key');
  return {
    name,
    endpoint,
    tinkerbellIP,
    ...(osFamily !== undefined && { osFamily }),
    ...(kubernetesVersion !== undefined && { kubernetesVersion }),
    ...(image !== undefined && { image }),
    ...(controlPlaneCount !== undefined && { controlPlaneCount }),
    ...(workerCount !== undefined && { workerCount }),
    ...(keyFile !== undefined && { sshKey: await readKeyFile(keyFile) }),
  };
}

async function readKeyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new TinsmithError('not_found', `cannot read the public key ${path}: ${systemCodeOf(cause) ?? 'unknown'}`, {
      cause,
    });
  }
}

export const generateHardwareCommand: Command = {
  name: 'generate hardware',
  arguments: '-f CSV',
  takes: [0, 0],
  summary: 'Print the Hardware of a CSV as YAML, with Machine and Secret of each BMC. Needs no server.',
  options: { ...FILENAME_OPTION, ...OUT_OPTION },
  examples: ['tinsmith generate hardware -f hardware.csv', 'tinsmith generate hardware -f hardware.csv --out hw.yaml'],
  async run(context, input) {
    const [file, ...others] = await readManifestFiles(context, input);
    if (file === undefined || others.length > 0)
      throw new TinsmithError('usage', 'one CSV at a time: use -f FILE once');
    const { text, warnings } = await context.parts.generate.hardware(file);
    for (const warning of warnings) context.out.note(`warning: ${problemLine(warning)}`);
    await put(context, input, text);
    return 0;
  },
};

export const generateTemplateCommand: Command = {
  name: 'generate template',
  arguments: '-f FILE',
  takes: [0, 0],
  summary: 'Print the default templates of a cluster’s groups, to be edited and named as templateRef. Needs no server.',
  options: {
    ...FILENAME_OPTION,
    group: { type: 'string', value: 'GROUP', summary: 'Only this group, such as control-plane (all groups).' },
    'os-family': { ...OS_FAMILY, summary: 'Operating system (that of the machine config).' },
    'metadata-url': { type: 'string', value: 'URL', summary: 'Metadata service (http://TINKERBELL-IP:7172).' },
    ...OUT_OPTION,
  },
  examples: [
    'tinsmith generate template -f cluster.yaml',
    'tinsmith generate template -f cluster.yaml --group md-0 --out md-0.yaml',
  ],
  async run(context, input) {
    const files = await readManifestFiles(context, input);
    const [osFamily, group, metadataUrl] = [input.text('os-family'), input.text('group'), input.text('metadata-url')];
    const text = await context.parts.generate.templates(files, {
      ...(osFamily !== undefined && { osFamily }),
      ...(group !== undefined && { group }),
      ...(metadataUrl !== undefined && { metadataUrl }),
    });
    await put(context, input, text);
    return 0;
  },
};

export const generateSchemaCommand: Command = {
  name: 'generate schema',
  arguments: '[KIND]',
  takes: [0, 1],
  summary: 'Print the JSON Schema of all manifests, or of one kind, for editors. Needs no server.',
  options: {
    out: { type: 'string', value: 'DIR', summary: 'Folder for tinsmith.json (all kinds) and a file for each kind.' },
  },
  examples: [
    'tinsmith generate schema > tinsmith.json',
    'tinsmith generate schema Cluster',
    'tinsmith generate schema --out schemas/',
  ],
  async run({ parts, out }, input) {
    const { combined, kinds } = await parts.generate.schemas();
    const [kind] = input.positionals;
    const directory = input.text('out');
    const chosen = kind === undefined ? combined : kinds.get(kind);
    if (chosen === undefined) throw unknownKind(kind ?? '', [...kinds.keys()]);
    if (directory === undefined) {
      out.line(jsonText(chosen));
      return 0;
    }
    const files = kind === undefined ? [['tinsmith', combined] as const, ...kinds] : [[kind, chosen] as const];
    await explained(directory, () => mkdir(directory, { recursive: true }));
    for (const [name, schema] of files) {
      const path = join(directory, `${name}.json`);
      await explained(path, () => writeFile(path, `${jsonText(schema)}\n`));
      out.line(path);
    }
    return 0;
  },
};

function jsonText(value: object): string {
  return JSON.stringify(value, null, 2);
}

function unknownKind(kind: string, kinds: readonly string[]): TinsmithError {
  return new TinsmithError(
    'usage',
    `there is no kind "${kind}"${didYouMean(kind, kinds)}: there are ${kinds.join(', ')}`,
  );
}

/** To standard output, or into a new file that only its owner reads: it may hold passwords. */
async function put({ out }: CommandContext, input: CommandInput, text: string): Promise<void> {
  const path = input.text('out');
  if (path === undefined) {
    out.line(text.replace(/\n$/, ''));
    return;
  }
  await explained(path, () => writeFile(path, text, { flag: 'wx', mode: 0o600 }));
  out.note(`written to ${path}`);
}

async function explained(path: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    const code = systemCodeOf(cause) ?? 'unknown';
    const fact = code === 'EEXIST' ? 'it exists: remove it first, or choose another name' : code;
    throw new TinsmithError('invalid_input', `cannot write ${path}: ${fact}`, { cause });
  }
}
