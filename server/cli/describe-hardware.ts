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
  const { name, stage, stageAt, failure, netboot, hasUserData, labels, readyAt, lastSeenAt, createdAt } = hardware;
  return [
    `Hardware   ${name}`,
    `Stage      ${stage} for ${ageText(now.getTime() - Date.parse(stageAt))}`,
    ...(failure === undefined ? [] : [`Failure    ${failure}`]),
    `Netboot    ${netboot ? 'on' : 'off'}`,
    `Labels     ${labelsText(labels) || '–'}`,
    `User data  ${hasUserData ? 'yes (never shown)' : 'none'}`,
    `Created    ${createdAt}`,
    `Last seen  ${lastSeenAt ?? '–'}`,
    `Ready      ${readyAt ?? '–'}`,
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
