/**
 * Several agents at once on a server with a narrow line, with frames from one another and without: how often the image left the server,
 * and the rate of all together.
 *
 *   npm run bench -- peers [--size-mib 256] [--agents 4] [--egress-mb 40] [--runs 2]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type PeerMember, PeerTracker } from '#server/provision/peer-tracker.ts';
import { dirty, fullImage, keyFile, packed, pathOf } from './bench-images.ts';
import { attachDisk, cleanUpOnSignals, median, printLines, serve, settle, type Timing } from './bench-place.ts';
import type { AgentHears, AgentSays } from './peers-agent.ts';

const { values } = parseArgs({
  options: {
    'size-mib': { type: 'string', default: '256' },
    agents: { type: 'string', default: '4' },
    'egress-mb': { type: 'string', default: '40' },
    runs: { type: 'string', default: '2' },
  },
});
const SCRIPT = fileURLToPath(import.meta.resolve('./peers-agent.ts'));
/** A rack that starts at once is told once. */
const TELL_MS = 250;
type Sharing = 'with' | 'without';

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await fullImage(Number(values['size-mib']));
await packed(image);
const base = await serve('./serve-folder.ts', [pathOf('.'), String(Number(values['egress-mb']) * 1e6)], cleanup);
const count = Number(values.agents);
const disks: { readonly device: string; readonly file: string }[] = [];
for (let i = 0; i < count; i++) {
  const file = pathOf(`disk-${i}.img`);
  disks.push({ file, device: await attachDisk(file, image.sizeBytes + (64 << 20), cleanup) });
}

interface Agent {
  readonly begin: () => void;
  /** Bytes that it got from the server. */
  readonly receivedBytes: Promise<number>;
}

/** Resolves when it waits to begin. */
async function startAgent(device: string, sharing: Sharing, tracker: PeerTracker): Promise<Agent> {
  const child = fork(SCRIPT, [`${base}/folders/`, image.name, keyFile, device, sharing]);
  const tell = (message: AgentHears): void => {
    if (child.connected) child.send(message);
  };
  const member: PeerMember = { hardware: device, address: '127.0.0.1', tell: (group) => tell({ group }) };
  const ready = Promise.withResolvers<void>();
  let received: number | undefined;
  child.on('message', (message: AgentSays) => {
    if (message === 'ready') ready.resolve();
    else if ('offer' in message) tracker.offer(member, message.offer);
    else received = message.receivedBytes;
  });
  const receivedBytes = once(child, 'exit').then(([code]) => {
    tracker.forget(member);
    if (code === 0 && received !== undefined) return received;
    throw new Error(`the agent of ${device} ended with ${code}`);
  });
  await Promise.race([ready.promise, receivedBytes]);
  return { begin: () => tell('begin'), receivedBytes };
}

/** All begin together; the time until the last one is done. */
async function timeAgents(sharing: Sharing): Promise<Timing> {
  for (const { device, file } of disks) {
    await dirty(device, image.sizeBytes);
    await settle(device, file);
  }
  const tracker = new PeerTracker();
  const agents = await Promise.all(disks.map(({ device }) => startAgent(device, sharing, tracker)));
  const telling = setInterval(() => tracker.tellChanges(), TELL_MS);
  const startedAt = performance.now();
  for (const { begin } of agents) begin();
  const received = await Promise.all(agents.map(({ receivedBytes }) => receivedBytes));
  clearInterval(telling);
  const receivedBytes = received.reduce((sum, bytes) => sum + bytes, 0);
  return { seconds: (performance.now() - startedAt) / 1000, receivedBytes };
}

const timings: Record<Sharing, Timing[]> = { with: [], without: [] };
for (let round = 0; round <= Number(values.runs); round++) {
  for (const sharing of ['with', 'without'] as const) {
    const timing = await timeAgents(sharing);
    if (round > 0) timings[sharing].push(timing);
  }
}
const fileBytes = (await stat(pathOf(`folders/${image.name}/image.zst`))).size;
const rate = (sharing: Sharing): number => (image.sizeBytes * count) / 1e6 / median(timings[sharing]);
/** The worst run. */
const sent = (sharing: Sharing): number => Math.max(...timings[sharing].map(({ receivedBytes = 0 }) => receivedBytes));
const title = `peers: ${count} agents`;
printLines([
  { name: `${title}, with`, unit: 'MB/s', value: rate('with') },
  { name: `${title}, without`, unit: 'MB/s', value: rate('without') },
  { name: `${title}, with / without`, unit: 'ratio', value: rate('with') / rate('without') },
  { name: `${title}, without: sent by the server`, unit: 'images', value: sent('without') / fileBytes },
  { name: `${title}, with: sent by the server`, unit: 'images', value: sent('with') / fileBytes },
  { name: `${title}: one image / sent by the server`, unit: 'ratio', value: fileBytes / sent('with') },
]);
