import type { WritefileParams } from '#proto/actions/writefile.ts';
import type { TargetRoot } from '../machine/machine.ts';
import type { ActionContext } from './action-context.ts';
import { encodeBootconfig } from './bootconfig.ts';
import { bottlerocketNetFile, netplanFile, withBottlerocketDns } from './network-files.ts';
import { fetchUserData } from './user-data.ts';

const BOTTLEROCKET_USER_DATA = '/user-data.toml';

/** Replaces one file on a partition of the installed system; the machine reads it back. */
export async function writefile(params: WritefileParams, context: ActionContext): Promise<void> {
  const { machine, log, signal } = context;
  const { device, path } = params;
  const contents = await makeContents(params, context);
  const root = await machine.mount(device, params.fileSystem, { signal });
  if (params.content.from === 'bottlerocketNet') await addDns(root, params, context);
  signal.throwIfAborted();
  await root.writeFile(path, contents, params);
  log(
    'agent',
    `wrote ${contents.length} bytes to ${path} on ${device}, mode ${params.mode.toString(8).padStart(4, '0')}`,
  );
}

async function makeContents({ content }: WritefileParams, { facts, signal }: ActionContext): Promise<Buffer> {
  if (content.from === 'metadata') return fetchUserData(content.urls, signal);
  if (content.from === 'bootconfig') return encodeBootconfig(content.text);
  if (content.from === 'netplan') return Buffer.from(netplanFile(facts, content.interfaceName));
  if (content.from === 'bottlerocketNet') return Buffer.from(bottlerocketNetFile(facts, content.interfaceName));
  return Buffer.from(content.text, 'utf8');
}

/** Bottlerocket takes name servers from its settings, not from net.toml. The file keeps its owner and mode. */
async function addDns(root: TargetRoot, params: WritefileParams, { facts, log }: ActionContext): Promise<void> {
  const name = params.content.from === 'bottlerocketNet' ? params.content.interfaceName : undefined;
  const old = (await root.readFile(BOTTLEROCKET_USER_DATA, 16 << 20))?.toString('utf8') ?? '';
  const text = withBottlerocketDns(old, facts, name);
  if (text === old) {
    log('agent', `${BOTTLEROCKET_USER_DATA} needs no [settings.dns]: it has one, or the record names no servers`);
    return;
  }
  const attributes = (await root.attributes(BOTTLEROCKET_USER_DATA)) ?? {
    mode: 0o644,
    uid: params.uid,
    gid: params.gid,
  };
  await root.writeFile(BOTTLEROCKET_USER_DATA, Buffer.from(text), {
    ...attributes,
    directoryMode: params.directoryMode,
  });
}
