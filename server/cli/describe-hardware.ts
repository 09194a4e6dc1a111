import type { EventView, HardwareView, WorkflowView } from '../api/types.ts';
import { eventLine } from './event-line.ts';
import { ageText, sizeText } from './quantity-text.ts';
import { dhcpOf, labelsText } from './resource-kind.ts';

interface Facts {
  readonly workflows: readonly WorkflowView[];
  readonly events: readonly EventView[];
  readonly now: Date;
}

/** The lines of `describe hardware`. */
export function describeHardware(hardware: HardwareView, { workflows, events, now }: Facts): readonly string[] {
  const { name, stage, stageAt, failure, netboot, labels, lastSeenAt, createdAt } = hardware;
  return [
    `Hardware   ${name}`,
    `Stage      ${stage} for ${ageText(now.getTime() - Date.parse(stageAt))}`,
    ...(failure === undefined ? [] : [`Failure    ${failure}`]),
    `Netboot    ${netboot ? 'on' : 'off'}`,
    `Labels     ${labelsText(labels) || '–'}`,
    `User data  ${userDataText(hardware)}`,
    `Cluster    ${hardware.claim === undefined ? '–' : `${hardware.claim.cluster}, group ${hardware.claim.group}`}`,
    `Created    ${createdAt}`,
    `Last seen  ${lastSeenAt ?? '–'}`,
    ...readyLines(hardware),
    '',
    'Interfaces',
    ...dhcpOf(hardware).map(({ mac = '–', ip, hostname }) => {
      const address = ip?.address === undefined ? '–' : `${ip.address} / ${ip.netmask ?? '–'} via ${ip.gateway ?? '–'}`;
      return `  ${mac}  ${address}${hostname === undefined ? '' : `  ${hostname}`}`;
    }),
    ...inventoryLines(hardware),
    '',
    'Workflows',
    ...(workflows.length === 0 ? ['  none'] : []),
    ...workflows.map(({ name: workflow, state, stateAt, error }) => {
      return `  ${workflow}  ${state} since ${stateAt}${error === undefined ? '' : `: ${error.message}`}`;
    }),
    '',
    'Events (UTC)',
    ...events.map((event) => `  ${eventLine(event)}`),
  ];
}

const WAITS_FOR: Readonly<Record<HardwareView['readyBy'], string>> = {
  metadata: 'the system’s first question for metadata',
  phoneHome: 'the system to phone home',
  installed: 'the installation',
};

function userDataText(hardware: HardwareView): string {
  const { hasUserData, userDataPolicy, userDataFetchedAt, userDataWithheldAt } = hardware;
  if (!hasUserData) return 'none';
  const facts = [
    'yes (never shown)',
    ...(userDataPolicy === 'untilReady' ? ['holds keys'] : []),
    ...(userDataFetchedAt === undefined ? [] : [`fetched ${userDataFetchedAt}`]),
    ...(userDataWithheldAt === undefined ? [] : [`not given out again since ${userDataWithheldAt}`]),
  ];
  return facts.join(', ');
}

function readyLines({ readyAt, readyBy, phonedHomeAt, bootstrapFailure, stage }: HardwareView): readonly string[] {
  const waits = stage === 'installed' ? `no, waits for ${WAITS_FOR[readyBy]}` : '–';
  return [
    `Ready      ${readyAt ?? waits}`,
    ...(phonedHomeAt === undefined ? [] : [`Called     ${phonedHomeAt} (phone home)`]),
    ...(bootstrapFailure === undefined ? [] : [`First start failed: ${bootstrapFailure}`]),
  ];
}

function inventoryLines({ inventory }: HardwareView): readonly string[] {
  if (inventory === undefined) return ['', 'Inventory  not reported yet'];
  const { system, firmware, cpu, memoryBytes, disks, interfaces, collectedAt } = inventory;
  const maker = [system.manufacturer, system.product, system.serial].filter((text) => text !== undefined).join(' ');
  return [
    '',
    `Inventory  as of ${collectedAt}`,
    `  System    ${maker === '' ? '–' : maker}`,
    `  Firmware  ${[firmware.kind, firmware.vendor, firmware.version].filter((text) => text !== undefined).join(' ')}`,
    `  CPU       ${cpu.model ?? cpu.arch}: ${cpu.sockets} sockets, ${cpu.cores} cores, ${cpu.threads} threads`,
    `  Memory    ${sizeText(memoryBytes)}`,
    ...disks.map(({ device, sizeBytes, model, serial, rotational }) => {
      const facts = [sizeText(sizeBytes), rotational ? 'rotating' : 'solid state', model, serial];
      return `  Disk      ${device}  ${facts.filter((text) => text !== undefined).join(', ')}`;
    }),
    ...interfaces.map(({ name, mac, driver, speedMbps, hasLink }) => {
      const link = hasLink ? `link${speedMbps === undefined ? '' : ` ${speedMbps} Mbit/s`}` : 'no link';
      return `  Network   ${name}  ${mac}  ${[driver, link].filter((text) => text !== undefined).join(', ')}`;
    }),
  ];
}
