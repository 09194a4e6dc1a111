import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProgram } from '#images/packages/run-program.ts';

/** The lab's own site: a bridge that all machines hang on. The addresses are the server's. */
export const SITE = { bridge: 'br0', address: '10.77.0.1', prefix: 24, address6: 'fd77::1', prefix6: 64 } as const;

const PREFIX = 'tinsmith';
/** A guard against hanging: the kernel takes a second at most, when it is not busy. */
const CARRIER_MS = 60_000;

/** Names are unique per process, so that two suites can run; a name says which process owns the namespace. */
export function namespaceName(name: string): string {
  return `${PREFIX}-${name}-${process.pid}`;
}

/** A network namespace with the bridge up. Whoever made it removes it with removeNamespace. */
export async function createNamespace(namespace: string): Promise<void> {
  await runProgram(['ip', 'netns', 'add', namespace]);
  const { bridge, address, prefix, address6, prefix6 } = SITE;
  // The site's router answers router solicitations only while it forwards; it is alone, so its addresses need no check.
  await inNamespace(namespace, [
    'sysctl',
    '-qw',
    'net.ipv6.conf.all.forwarding=1',
    'net.ipv6.conf.default.accept_dad=0',
  ]);
  const commands = [
    'link set lo up',
    `link add ${bridge} address 52:54:00:77:ff:01 type bridge stp_state 0 forward_delay 0`,
    // A bridge without a live port has no carrier, and then the router says nothing until long after a machine asked.
    'link add anchor type veth peer name anchor-end',
    'link set anchor-end up',
    `link set anchor master ${bridge} up`,
    `addr add ${address}/${prefix} dev ${bridge}`,
    `addr add ${address6}/${prefix6} dev ${bridge} nodad`,
    `link set ${bridge} up`,
  ];
  for (const command of commands) await runProgram(['ip', '-n', namespace, ...command.split(' ')]);
  await waitForCarrier(namespace);
}

/** A tap on the bridge for one machine. It goes when the namespace goes. */
export async function addTap(namespace: string, tap: string): Promise<void> {
  for (const command of [`tuntap add dev ${tap} mode tap`, `link set ${tap} master ${SITE.bridge} up`]) {
    await runProgram(['ip', '-n', namespace, ...command.split(' ')]);
  }
}

/** Runs a program inside the namespace to its end and returns what it printed. */
export async function inNamespace(namespace: string, argv: readonly string[]): Promise<string> {
  return runProgram(['ip', 'netns', 'exec', namespace, ...argv]);
}

/** Waits until the bridge has seen that its anchor lives, a moment after it came up. */
async function waitForCarrier(namespace: string): Promise<void> {
  const deadline = AbortSignal.timeout(CARRIER_MS);
  while (!(await runProgram(['ip', '-n', namespace, 'link', 'show', SITE.bridge])).includes('LOWER_UP')) {
    if (deadline.aborted)
      throw new Error(`the lab's bridge in ${namespace} got no carrier within ${CARRIER_MS / 1000} s`);
    await sleep(20);
  }
}

/** Writes the settings of radvd, the site's router. Without one, iPXE waits 16 s for an answer to its solicitations. */
export async function writeRouterSettings(directory: string): Promise<string> {
  const file = join(directory, 'radvd.conf');
  const text = [
    `interface ${SITE.bridge} {`,
    '  AdvSendAdvert on;',
    '  MinRtrAdvInterval 3;',
    '  MaxRtrAdvInterval 4;',
    `  prefix fd77::/${SITE.prefix6} { AdvOnLink on; AdvAutonomous on; };`,
    '};',
    '',
  ];
  await writeFile(file, text.join('\n'));
  return file;
}

/**
 * Ends everything that runs in the namespace and removes it. Synchronous, because it is also the last thing that a
 * process does. A namespace that is already gone is fine.
 */
export function removeNamespace(namespace: string): void {
  const listed = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
  for (const [pid] of listed.stdout.matchAll(/\d+/g)) kill(Number(pid));
  spawnSync('ip', ['netns', 'del', namespace]);
}

/**
 * Removes what an earlier run of the same name left when it was killed: its process is gone, its namespace is not. In a container that
 * was started again, its number may be ours now.
 */
export async function removeStaleNamespaces(name: string): Promise<void> {
  const listed = await runProgram(['ip', 'netns', 'list']);
  for (const [, namespace = '', pid = ''] of listed.matchAll(/^(tinsmith-\S+-(\d+))/gm)) {
    const isOfName = namespace === `${PREFIX}-${name}-${pid}`;
    if (isOfName && (Number(pid) === process.pid || !existsSync(`/proc/${pid}`))) removeNamespace(namespace);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself between the listing and now.
  }
}
