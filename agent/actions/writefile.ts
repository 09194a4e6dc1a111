import type { WritefileParams } from '#proto/actions/writefile.ts';
import { netplanText } from '#proto/network/netplan-text.ts';
import { networkLinks } from '#proto/network/network-links.ts';
import type { ActionContext } from './action-context.ts';
import { encodeBootconfig } from './bootconfig.ts';
import { bottlerocketNetText } from './bottlerocket-net.ts';
import { addBottlerocketDns } from './bottlerocket-user-data.ts';
import { fetchUserData } from './user-data.ts';

/** Replaces one file on a partition of the installed system; the machine reads it back. */
export async function writefile(params: WritefileParams, context: ActionContext): Promise<void> {
  const { machine, log, signal } = context;
  const { device, path, content } = params;
  const contents = await makeContents(params, context);
  const root = await machine.mount(device, params.fileSystem, { signal });
  if (content.from === 'bottlerocketNet') {
    await addBottlerocketDns(root, networkLinks(context.facts, content.interfaceName), params, log);
  }
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
  if (content.from === 'netplan') return Buffer.from(netplanText(networkLinks(facts, content.interfaceName)));
  if (content.from === 'bottlerocketNet') {
    return Buffer.from(bottlerocketNetText(networkLinks(facts, content.interfaceName)));
  }
  return Buffer.from(content.text, 'utf8');
}
