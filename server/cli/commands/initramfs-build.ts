import { TinsmithError } from '#proto/errors.ts';
import type { Command, CommandInput, InitramfsRequest } from '../command.ts';
import { durationText, sizeText } from '../quantity-text.ts';

export const initramfsBuildCommand: Command = {
  name: 'initramfs build',
  arguments: '--out DIR',
  takes: [0, 0],
  summary: 'Build kernel and initramfs of the boot environment; needs no root.',
  options: {
    out: { type: 'string', value: 'DIR', summary: 'Folder for vmlinuz, initramfs and manifest.json.' },
    kernel: { type: 'string', value: 'PACKAGE', summary: 'Debian kernel package (linux-image-cloud-amd64).' },
    vmlinuz: { type: 'string', value: 'FILE', summary: 'Your own kernel instead of a package; with --modules.' },
    modules: { type: 'string', value: 'DIR', summary: 'Modules of your own kernel: its folder below lib/modules.' },
    agent: { type: 'string', value: 'FILE', summary: 'The agent (build/agent/tinsmith-agent-x64).' },
    add: { type: 'string', value: 'DIR', multiple: true, summary: 'Folder whose content is baked in.' },
    omit: {
      type: 'string',
      value: 'TOOL',
      multiple: true,
      summary: 'Leave out lvm2, nvme-cli, hdparm, xfsprogs or btrfs-progs.',
    },
    arch: { type: 'string', value: 'ARCH', choices: ['x64', 'arm64'], summary: 'Architecture of the machines.' },
    compression: { type: 'string', value: 'NAME', summary: 'zstd, gzip or none; with a level: zstd:12 (zstd:19).' },
  },
  examples: [
    'tinsmith initramfs build --out /var/lib/tinsmith/boot',
    'tinsmith initramfs build --out boot --kernel linux-image-amd64',
    'tinsmith initramfs build --out boot --vmlinuz bzImage --modules 6.12.0',
  ],
  async run({ parts, out, signal }, input) {
    const begun = performance.now();
    const report = (step: string): void => {
      out.note(`${durationText(performance.now() - begun).padStart(7)}  ${step}`);
    };
    const { files } = await parts.buildInitramfs({ ...requestOf(input), report }, signal);
    for (const { path, sizeBytes } of files) out.line(`${path} ${sizeText(sizeBytes)}`);
    return 0;
  },
};

function requestOf(input: CommandInput): Omit<InitramfsRequest, 'report'> {
  const out = input.text('out');
  if (out === undefined) throw new TinsmithError('usage', 'no folder is named for the result: use --out DIR');
  const [kernel, agent, arch] = [input.text('kernel'), input.text('agent'), input.text('arch')];
  const [vmlinuz, modules, compression] = [input.text('vmlinuz'), input.text('modules'), input.text('compression')];
  if ((vmlinuz === undefined) !== (modules === undefined)) {
    throw new TinsmithError('usage', 'a kernel of your own needs both --vmlinuz FILE and --modules DIR');
  }
  if (vmlinuz !== undefined && kernel !== undefined) {
    throw new TinsmithError('usage', '--kernel names a package and --vmlinuz a file: use one of them');
  }
  return {
    out,
    add: input.texts('add'),
    omit: input.texts('omit'),
    ...(kernel !== undefined && { kernel }),
    ...(vmlinuz !== undefined && { vmlinuz }),
    ...(modules !== undefined && { modules }),
    ...(agent !== undefined && { agent }),
    ...(arch !== undefined && { arch }),
    ...(compression !== undefined && { compression }),
  };
}
