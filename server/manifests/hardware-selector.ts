import { listed } from './findings.ts';
import type { HardwareManifest } from './hardware-kind.ts';

type Labels = Readonly<Record<string, string>>;
type Labelled = Pick<HardwareManifest, 'name' | 'labels'>;

/** Whether a machine has all labels of a selector. */
export function matches(machine: Labelled, selector: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labelOf(machine, key) === value);
}

/** `type=cp,rack=3`: a selector as people write it. */
export function selectorText(selector: Labels): string {
  return Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/**
 * Says why a selector matches no machine at all, with the labels that exist and the machine that was probably meant;
 * `undefined` if it matches one.
 */
export function faultOfSelector(selector: Labels, machines: readonly Labelled[]): string | undefined {
  if (machines.some((machine) => matches(machine, selector))) return undefined;
  if (machines.length === 0)
    return `no Hardware has ${labelWord(selector)} ${selectorText(selector)}: there is no Hardware yet`;
  for (const [key, value] of Object.entries(selector)) {
    if (!machines.some((machine) => labelOf(machine, key) === value)) return faultOfLabel(key, value, machines);
  }
  const each = Object.entries(selector).map(
    ([key, value]) => `${key}=${value} is on ${namesWith(key, value, machines)}`,
  );
  return `no Hardware has all labels of ${selectorText(selector)}: ${each.join('; ')}: add what is missing to one machine`;
}

function faultOfLabel(key: string, value: string, machines: readonly Labelled[]): string {
  const values = new Set(machines.flatMap((machine) => labelOf(machine, key) ?? []));
  const meant = machines.find((machine) => labelOf(machine, key) !== value && isNamedAfter(machine.name, value));
  const hint = meant === undefined ? '' : ` (did you mean to label ${meant.name} ${key}=${value}?)`;
  const label = `no Hardware has label ${key}=${value}`;
  if (values.size > 0) {
    const found = [...values].toSorted().map((other) => `${key}=${other} is on ${namesWith(key, other, machines)}`);
    return `${label}: ${listed(found, 5)}${hint}`;
  }
  const keys = [...new Set(machines.flatMap(({ labels }) => Object.keys(labels)))].toSorted();
  const existing = keys.length === 0 ? 'no machine has any label' : `the label keys are ${listed(keys)}`;
  return `${label}: no machine has a label ${key}, ${existing}${hint}`;
}

function namesWith(key: string, value: string, machines: readonly Labelled[]): string {
  return listed(machines.filter((machine) => labelOf(machine, key) === value).map(({ name }) => name));
}

/** `eksabmhp1-dp-n-1` is named after `dp`. */
function isNamedAfter(name: string, value: string): boolean {
  return name.split(/[-.]/).some((part) => part.replace(/\d+$/, '') === value || part === value);
}

function labelOf(machine: Labelled, key: string): string | undefined {
  return Object.hasOwn(machine.labels, key) ? machine.labels[key] : undefined;
}

function labelWord(selector: Labels): string {
  return Object.keys(selector).length === 1 ? 'label' : 'labels';
}
