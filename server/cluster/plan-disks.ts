import { type DiskHints, diskText, matchDisk } from '#proto/disk-hints.ts';
import type { InventoryDisk } from '#proto/inventory.ts';
import type { Findings } from '../manifests/findings.ts';
import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import type { RenderedAction } from '../manifests/template-kind.ts';
import type { Hardware } from '../store/store.ts';
import type { ErasedDisk } from './cluster-plan.ts';
import type { PlaceOf } from './cluster-request.ts';

/** Actions that overwrite a disk from its first byte. */
const WRITERS: ReadonlySet<string> = new Set(['image2disk', 'oci2disk', 'qemuimg2disk', 'wipe']);

/** The disks that a machine loses, with what its agent saw of them. A disk that the agent did not see is warned about. */
export function erasedDisks(
  hardware: Hardware,
  actions: readonly RenderedAction[],
  { placeOf, findings }: { readonly placeOf: PlaceOf; readonly findings: Findings },
): readonly ErasedDisk[] {
  const erasing = actions.flatMap((action) => devicesOf(action, hardware).map((device) => ({ device, action })));
  const byDevice = Map.groupBy(erasing, ({ device }) => device);
  return [...byDevice].map(([device, by]): ErasedDisk => {
    const names = [...new Set(by.map(({ action }) => action.name))];
    const erased = { machine: hardware.name, device, actions: names, contents: contentsOf(hardware) };
    const { inventory } = hardware;
    if (inventory === undefined) return erased;
    const disk = findDisk(device, hardware, inventory.disks);
    if (typeof disk !== 'string') return { ...erased, found: foundOf(disk) };
    findings.warn(placeOf('Hardware', hardware.name, 'spec.disks'), `${hardware.name}: ${disk}`, device);
    return erased;
  });
}

/** rootio takes the disks that its description names, which the server does not read: all of the record. */
function devicesOf({ image, environment, command }: RenderedAction, { spec }: HardwareManifest): readonly string[] {
  const base = image.split('@', 1)[0]?.split('/').at(-1)?.split(':', 1)[0] ?? '';
  const all = spec.disks.map(({ device }) => device);
  const isErasingRootio =
    base === 'rootio' && [...command, environment['STEP']].some((word) => word === 'partition' || word === 'wipe');
  if (isErasingRootio) return all;
  if (!WRITERS.has(base)) return [];
  const named = (environment['DEST_DISK'] ?? '').split(/[\s,]+/).filter((device) => device !== '');
  return named.length > 0 ? named : all;
}

/** The disk behind a path, or why there is none. */
function findDisk(device: string, { spec }: HardwareManifest, disks: readonly InventoryDisk[]): InventoryDisk | string {
  const hinted = /^\/dev\/disk\/by-hint\/(\d+)$/.exec(device)?.[1];
  if (hinted !== undefined) {
    const { device: _, ...hints } = spec.disks[Number(hinted)] ?? { device };
    const match = matchDisk(hints satisfies DiskHints, disks);
    return 'disk' in match ? match.disk : match.fault;
  }
  const id = /^\/dev\/disk\/by-id\/(.+)$/.exec(device)?.[1];
  const found = disks.find((disk) => (id === undefined ? disk.device === device : disk.byId?.includes(id) === true));
  if (found !== undefined) return found;
  const seen = disks.length === 0 ? 'it showed no disks' : `it has ${disks.map(diskText).join('; ')}`;
  return `its agent saw no disk ${device}: ${seen}`;
}

function foundOf({ device, sizeBytes, model, serial, transport }: InventoryDisk): NonNullable<ErasedDisk['found']> {
  return {
    device,
    sizeBytes,
    ...(model === undefined ? {} : { model }),
    ...(serial === undefined ? {} : { serial }),
    ...(transport === undefined ? {} : { transport }),
  };
}

/** Agents report no partitions: what is known is what was installed from here. */
function contentsOf({ stage, claim }: Hardware): string {
  if (stage === 'installed')
    return claim === undefined ? 'a system installed from here' : `the system of a node of ${claim.cluster}`;
  return 'contents not known';
}
