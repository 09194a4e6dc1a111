import { deep, type FunctionTable } from './go-function.ts';
import { functionFault } from './template-error.ts';

/** Tinkerbell's own functions, about machines. */
export const MACHINE_FUNCTIONS: FunctionTable = {
  formatPartition: deep(['string', 'int'], (given) => formatPartition(given.string(0), given.int(1))),
  netmaskToPrefixLength: deep(['string'], (given) => String(prefixLength(given.string(0)))),
};

/** The device of a partition: `-partN` for stable names, `pN` after a digit (NVMe, MMC, loop), else `N`. */
function formatPartition(device: string, partition: number): string {
  if (device === '') throw functionFault('the device is empty: give a path such as /dev/sda');
  if (device.startsWith('/dev/disk/')) return `${device}-part${partition}`;
  return /[0-9]$/.test(device) ? `${device}p${partition}` : `${device}${partition}`;
}

function prefixLength(netmask: string): number {
  const octets = netmask.split('.');
  const isDotted =
    octets.length === 4 && octets.every((octet) => /^(?:0|[1-9][0-9]{0,2})$/.test(octet) && Number(octet) < 256);
  if (!isDotted) throw functionFault(`invalid netmask format: ${netmask}: write four numbers, as in 255.255.255.0`);
  const bits = octets.map((octet) => Number(octet).toString(2).padStart(8, '0')).join('');
  if (!/^1*0*$/.test(bits)) throw functionFault(`invalid netmask ${netmask}: its ones are not all at the beginning`);
  return bits.replaceAll('0', '').length;
}
