import { BOOT_PARAMETERS } from '#proto/boot-parameters.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { HardwareInterface } from '../manifests/hardware-kind.ts';

/** What every machine is told alike. */
export interface BootEnvironment {
  /** Base URL of the machine-facing HTTP listener, without slash at its end: `http://10.77.0.1:7171`. */
  readonly httpUrl: string;
  /** `host:port` of the agents' gRPC listener. */
  readonly grpcServer: string;
  /** SHA-256 of the CA certificate's DER, hex. */
  readonly caHash: string;
  readonly giveUpSeconds: number;
  /** Setting `boot.kernel.args`. */
  readonly kernelArgs: string;
}

export interface BootingMachine {
  readonly name: string;
  /** Of the interface that booted: lower case, colons. */
  readonly mac: string;
  readonly agentID?: string;
  readonly iface?: HardwareInterface;
}

const TRIES = 5;
const PAUSE_SECONDS = 3;

/**
 * The script that boots the agent's system: kernel and initramfs over HTTP, each with retries, then the firmware's next boot
 * device. The boot token is in it, so whoever logs scripts logs secrets. Throws `invalid_input` when a value of the record
 * cannot be written on one line.
 */
export function bootScript(machine: BootingMachine, token: string, environment: BootEnvironment): string {
  const osie = machine.iface?.netboot?.osie;
  const base = checkedUrl(osie?.baseURL ?? `${environment.httpUrl}/boot`).replace(/\/$/, '');
  const kernel = fileUrl(base, osie?.kernel ?? 'vmlinuz');
  const initrd = fileUrl(base, osie?.initrd ?? 'initramfs');
  return lines([
    '#!ipxe',
    `echo Tinsmith: starting ${shown(machine.name)} from ${environment.httpUrl}`,
    ...retried(
      'kernel',
      `kernel ${kernel} ${kernelArguments(machine, token, environment).join(' ')}`,
      `kernel ${kernel}`,
    ),
    ...retried('initrd', `initrd --name initramfs ${initrd}`, `initramfs ${initrd}`),
    'boot || goto failed',
    ':failed',
    'echo Tinsmith: giving up; the firmware goes on with its next boot device',
    'imgfree',
    'exit 1',
  ]);
}

/**
 * The script for a machine that boots its disk. Leaving iPXE is enough for a BIOS; UEFI firmware may instead try every other
 * network boot for minutes, so there `localboot.efi`, where we have it, starts the disk's own boot loader.
 */
export function localBootScript(machine: BootingMachine, urls: { readonly localBoot?: string }): string {
  return lines([
    '#!ipxe',
    `echo Tinsmith: ${shown(machine.name)} boots its disk`,
    'iseq ${platform} efi && goto uefi ||',
    'exit',
    ':uefi',
    ...(urls.localBoot === undefined ? [] : [`chain --autofree ${checkedUrl(urls.localBoot)} ||`]),
    'exit 1',
  ]);
}

/** The operator's own script or URL for this machine (`netboot.ipxe`); undefined if there is none. Throws `invalid_input`. */
export function ownScript(machine: BootingMachine): string | undefined {
  const { contents, url } = machine.iface?.netboot?.ipxe ?? {};
  if (contents !== undefined && contents !== '') {
    return contents.startsWith('#!ipxe') ? contents : `#!ipxe\n${contents}`;
  }
  if (url === undefined || url === '') return undefined;
  return lines(['#!ipxe', `chain --autofree ${checkedUrl(url)} || exit 1`]);
}

/** A loop around one download. iPXE's counters are text; `inc` makes them numbers. */
function retried(label: string, command: string, what: string): readonly string[] {
  return [
    `set ${label}-tries:int32 0`,
    `:${label}`,
    `${command} && goto ${label}-done ||`,
    `inc ${label}-tries`,
    `iseq \${${label}-tries} ${TRIES} && goto ${label}-failed ||`,
    `echo Tinsmith: cannot fetch ${what}, trying again in ${PAUSE_SECONDS} s`,
    `sleep ${PAUSE_SECONDS}`,
    `goto ${label}`,
    `:${label}-failed`,
    `echo Tinsmith: cannot fetch ${what} after ${TRIES} tries`,
    'goto failed',
    `:${label}-done`,
  ];
}

/** In order: what the kernel needs, ours, Tinkerbell's, then what the operator adds, which may override the former. */
function kernelArguments(machine: BootingMachine, token: string, environment: BootEnvironment): readonly string[] {
  const { mac, iface } = machine;
  const vlan = iface?.dhcp?.vlan_id;
  const ours: readonly (readonly [string, string])[] = [
    [BOOT_PARAMETERS.server, environment.grpcServer],
    [BOOT_PARAMETERS.http, environment.httpUrl],
    [BOOT_PARAMETERS.token, token],
    [BOOT_PARAMETERS.ca, environment.caHash],
    [BOOT_PARAMETERS.mac, mac],
    [BOOT_PARAMETERS.giveUp, String(environment.giveUpSeconds)],
    ['worker_id', machine.agentID ?? mac],
    ['hw_addr', mac],
    ...(vlan === undefined || vlan === '' ? [] : [[BOOT_PARAMETERS.vlan, vlan] as const]),
  ];
  return [
    // UEFI finds the initramfs by this name only. ramfs: a tmpfs root may hold no more than half of the memory.
    'initrd=initramfs',
    'rootfstype=ramfs',
    'panic=10',
    'quiet',
    ...ours.map(([name, value]) => `${name}=${oneWord(name, value)}`),
    // iPXE fills these in from the lease it booted with, so that the machine needs no second one.
    `${BOOT_PARAMETERS.ip}=\${netX/ip}/\${netX/netmask}/\${netX/gateway}/\${netX/dns}`,
    ...words('boot.kernel.args', environment.kernelArgs),
    ...(iface?.netboot?.osie?.kernelParams ?? []).flatMap((text) => words('osie.kernelParams', text)),
  ];
}

function fileUrl(base: string, file: string): string {
  return /^[a-z]+:\/\//.test(file) ? checkedUrl(file) : checkedUrl(`${base}/${file}`);
}

/** iPXE splits a line at blanks only, reads `${…}` everywhere, and `;`, `&&`, `||` and `#` where they are words. */
function words(where: string, text: string): readonly string[] {
  if (/[^\t\x20-\x7e]/.test(text)) throw unusable(where, text, 'it has a line break or a character beyond ASCII');
  const list = text.split(/[\t ]+/).filter((word) => word !== '');
  for (const word of list) checkWord(where, word);
  return list;
}

function oneWord(where: string, value: string): string {
  if (!/^[\x21-\x7e]+$/.test(value)) throw unusable(where, value, 'it must be one word of ASCII characters');
  checkWord(where, value);
  return value;
}

function checkWord(where: string, word: string): void {
  if (word.includes('${')) throw unusable(where, word, 'iPXE would put one of its settings in place of ${…}');
  if (/^(?:;|&&|\|\||#.*)$/.test(word)) throw unusable(where, word, 'iPXE would end the command there');
}

/** http, https or tftp, without anything that iPXE would not take as part of the URL. */
function checkedUrl(text: string): string {
  const url = oneWord('URL', text);
  if (!URL.canParse(url) || !/^(?:https?|tftp):\/\//.test(url)) {
    throw unusable('URL', url, 'write it as http://…, https://… or tftp://…');
  }
  return url;
}

/** For the console only: what doesn't belong on it is left out. */
function shown(text: string): string {
  return text.replaceAll(/[^\w.:-]/g, '');
}

function lines(list: readonly string[]): string {
  return `${list.join('\n')}\n`;
}

function unusable(where: string, value: string, fact: string): TinsmithError {
  return new TinsmithError(
    'invalid_input',
    `cannot write the boot script: ${where} has ${JSON.stringify(value)}; ${fact}`,
  );
}
