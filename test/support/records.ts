/** Records that tests of the store, the engine and the services start from. */
import type { Inventory } from '#proto/inventory.ts';
import type { HardwareManifest } from '#server/manifests/hardware-kind.ts';
import type { RenderedTemplate } from '#server/manifests/template-kind.ts';
import type { ActionResult, AgentSession } from '#server/provision/engine.ts';
import type { PlannedWorkflow, StoredSequence } from '#server/store/transitions-contract.ts';

/** A machine with one interface: `number` makes its MAC and address. */
export function hardwareManifest(
  name: string,
  number = 1,
  spec: Partial<HardwareManifest['spec']> = {},
): HardwareManifest {
  return {
    name,
    labels: { rack: 'a' },
    annotations: {},
    spec: {
      interfaces: [
        {
          netboot: { allowPXE: true, allowWorkflow: true },
          dhcp: {
            mac: macOf(number),
            hostname: name,
            ip: { address: `10.9.0.${number}`, netmask: '255.255.255.0', gateway: '10.9.0.254' },
            name_servers: ['10.9.0.253'],
          },
        },
      ],
      disks: [{ device: '/dev/vda' }],
      ...spec,
    },
  };
}

/** MAC of machine number 1 to 255. */
export function macOf(number: number): string {
  return `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`;
}

export interface WorkflowOptions {
  /** Action images of each task; the number of tasks follows from `hardware`. */
  readonly images?: readonly string[];
  readonly globalTimeoutMs?: number;
  readonly disabled?: boolean;
  readonly chosen?: boolean;
  readonly retries?: number;
}

/** A rendered workflow with one task for each name in `hardware`. */
export function plannedWorkflow(
  name: string,
  hardware: readonly string[],
  {
    images = ['image2disk', 'writefile'],
    globalTimeoutMs,
    disabled,
    chosen = false,
    retries = 0,
  }: WorkflowOptions = {},
): PlannedWorkflow {
  const rendered: RenderedTemplate = {
    name: `${name}-template`,
    ...(globalTimeoutMs === undefined ? {} : { globalTimeoutMs }),
    tasks: hardware.map((worker, task) => ({
      name: `task-${task}`,
      worker,
      actions: images.map((image, action) => ({
        name: `${image}-${action}`,
        image: `127.0.0.1/hub/${image}:latest`,
        timeoutMs: 60_000,
        environment: { DEST_DISK: '/dev/vda' },
        command: [],
        retries,
      })),
    })),
  };
  return {
    manifest: {
      name,
      labels: {},
      annotations: {},
      spec: { templateRef: `${name}-template`, hardwareMap: {}, ...(disabled === undefined ? {} : { disabled }) },
    },
    rendered,
    hardware,
    chosen,
  };
}

export const someInventory: Inventory = {
  collectedAt: '2026-01-01T00:00:00.000Z',
  system: { manufacturer: 'QEMU' },
  firmware: { kind: 'bios' },
  cpu: { arch: 'x64', sockets: 1, cores: 1, threads: 1 },
  memoryBytes: 402_653_184,
  disks: [],
  interfaces: [],
};

export function agentSession(hardware: string, session: string, bootId = `boot-of-${session}`): AgentSession {
  return { session, hardware, bootId, agentVersion: '0.1.0', from: '10.9.0.1' };
}

export function succeededAt(at: Date): ActionResult {
  return { outcome: 'succeeded', at, exitCode: 0, tries: 1 };
}

export interface SteppingClock {
  readonly now: () => Date;
  readonly advance: (ms: number) => void;
}

/** A clock that stands still until it is moved. */
export function steppingClock(start = Date.UTC(2026, 0, 1)): SteppingClock {
  let nowMs = start;
  return {
    now: () => new Date(nowMs),
    advance(ms) {
      nowMs += ms;
    },
  };
}

export function storedSequence(session: AgentSession, sequence: number): StoredSequence {
  return { session: session.session, sequence, hardware: session.hardware };
}
