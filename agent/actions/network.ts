import type { NetworkParams } from '#proto/actions/network.ts';
import { netplanText } from '#proto/network/netplan-text.ts';
import { type NetworkLink, networkLinks } from '#proto/network/network-links.ts';
import type { ActionContext } from './action-context.ts';
import { bottlerocketNetText } from './bottlerocket-net.ts';
import { addBottlerocketDns } from './bottlerocket-user-data.ts';
import { networkKeyfiles } from './network-keyfiles.ts';

/** netplan warns of, and NetworkManager leaves out, files that others may read; Bottlerocket's holds no secret. */
const PRIVATE = { uid: 0, gid: 0, mode: 0o600, directoryMode: 0o755 } as const;
const PUBLIC = { ...PRIVATE, mode: 0o644 } as const;

/** Replaces the network files of the installed system; the machine reads each back. */
export async function network(params: NetworkParams, context: ActionContext): Promise<void> {
  const { machine, facts, log, signal } = context;
  const links = networkLinks(facts);
  const files = filesOf(params, links);
  const root = await machine.mount(params.device, params.fileSystem, { signal });
  if (params.format === 'bottlerocket') await addBottlerocketDns(root, links, PUBLIC, log);
  for (const { path, text } of files) {
    signal.throwIfAborted();
    await root.writeFile(path, Buffer.from(text, 'utf8'), params.format === 'bottlerocket' ? PUBLIC : PRIVATE);
  }
  const names = links.map(({ kind, name }) => `${kind} ${name}`).join(', ');
  log('agent', `wrote ${files.map(({ path }) => path).join(', ')} on ${params.device}: ${names}`);
}

interface NetworkFile {
  readonly path: string;
  readonly text: string;
}

function filesOf({ format, path }: NetworkParams, links: readonly NetworkLink[]): readonly NetworkFile[] {
  switch (format) {
    case 'netplan':
      return [{ path, text: netplanText(links) }];
    case 'networkmanager':
      return networkKeyfiles(links).map(({ name, text }) => ({ path: `${path}/${name}`, text }));
    case 'bottlerocket':
      return [{ path, text: bottlerocketNetText(links) }];
  }
}
