/**
 * One of several agents that write a library image at once, in a process of its own: `peers-agent.ts MIRROR NAME KEY-FILE DEVICE SHARING`
 * with `with` or `without` for SHARING. Its parent is the server: it says when to begin, hears the offers and answers who else is there.
 */
import { readFile } from 'node:fs/promises';
import { openBlockDevice } from '#agent/machine/block-device.ts';
import type { PeerDirectory, PeerGroup } from '#agent/write/library/peers/peer-directory.ts';
import { writeLibraryImage } from '#agent/write/library/write-library-image.ts';
import type { PeerOffer } from '#server/provision/peer-tracker.ts';

/** To the parent. */
export type AgentSays = { readonly offer: PeerOffer } | { readonly receivedBytes: number } | 'ready';
/** From the parent. */
export type AgentHears = { readonly group: PeerGroup } | 'begin';

const [mirror = '', image = '', keyFile = '', device = '', sharing = 'without'] = process.argv.slice(2);
const say = (message: AgentSays): void => void process.send?.(message);
const begun = Promise.withResolvers<void>();
let group: PeerGroup | undefined;
process.on('message', (message: AgentHears) => {
  if (message === 'begin') begun.resolve();
  else ({ group } = message);
});

const directory: PeerDirectory = {
  announce: ({ digest, port }) => {
    say({ offer: { digest, port, frames: 0 } });
    return {
      get group() {
        return group;
      },
      noteFrames: (frames) => say({ offer: { digest, port, frames } }),
      [Symbol.dispose]: () => say({ offer: { digest, port: 0, frames: 0 } }),
    };
  },
};

const publicKey = await readFile(keyFile, 'utf8');
say('ready');
await begun.promise;
const request = { image, mirrors: [new URL(mirror)], publicKey, proxy: {}, retryForMs: 10_000 };
{
  await using disk = await openBlockDevice(device, device);
  const { receivedBytes } = await writeLibraryImage(
    disk,
    { ...request, ...(sharing === 'with' && { peers: directory }) },
    { signal: new AbortController().signal, log: () => undefined, progress: () => undefined },
  );
  say({ receivedBytes });
}
process.disconnect();
