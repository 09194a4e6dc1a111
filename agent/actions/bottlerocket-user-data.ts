import type { NetworkLink } from '#proto/network/network-links.ts';
import type { TargetRoot } from '../machine/machine.ts';
import type { ActionContext } from './action-context.ts';
import { withBottlerocketDns } from './bottlerocket-net.ts';

const BOTTLEROCKET_USER_DATA = '/user-data.toml';

interface NewFile {
  readonly uid: number;
  readonly gid: number;
  readonly directoryMode: number;
}

/** Bottlerocket takes name servers from its settings, not from net.toml. The file keeps its owner and mode. */
export async function addBottlerocketDns(
  root: TargetRoot,
  links: readonly NetworkLink[],
  fresh: NewFile,
  log: ActionContext['log'],
): Promise<void> {
  const old = (await root.readFile(BOTTLEROCKET_USER_DATA, 16 << 20))?.toString('utf8') ?? '';
  const text = withBottlerocketDns(old, links);
  if (text === old) {
    log('agent', `${BOTTLEROCKET_USER_DATA} needs no [settings.dns]: it has one, or the record names no servers`);
    return;
  }
  const attributes = (await root.attributes(BOTTLEROCKET_USER_DATA)) ?? { mode: 0o644, uid: fresh.uid, gid: fresh.gid };
  const { directoryMode } = fresh;
  await root.writeFile(BOTTLEROCKET_USER_DATA, Buffer.from(text), { ...attributes, directoryMode });
}
