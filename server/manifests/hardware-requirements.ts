import type { HardwareManifest } from './hardware-kind.ts';
import { matches, selectorText } from './hardware-selector.ts';
import type { AffinityTerm, LabelExpression, MachineConfigManifest } from './machine-config-kind.ts';

type Labelled = Pick<HardwareManifest, 'name' | 'labels'>;
type Requirements = Pick<MachineConfigManifest, 'hardwareSelector' | 'hardwareAffinity'>;

/** Whether a machine may become a node of the config: all of its selector, or any of its required terms. */
export function fits(machine: Labelled, { hardwareSelector, hardwareAffinity }: Requirements): boolean {
  if (hardwareSelector !== undefined && !matches(machine, hardwareSelector)) return false;
  return hardwareAffinity === undefined || hardwareAffinity.required.some((term) => matchesTerm(machine, term));
}

/** How much a machine is preferred: the weights of all preferred terms that it matches, added up (in EKS Anywhere the last one counts). */
export function affinityScore(machine: Labelled, { hardwareAffinity }: Requirements): number {
  const preferred = hardwareAffinity?.preferred ?? [];
  return preferred.reduce((sum, { weight, term }) => (matchesTerm(machine, term) ? sum + weight : sum), 0);
}

/** `type=cp`, or `rack in (a, b) or gpu`: what a machine needs, as people write it. */
export function requirementsText({ hardwareSelector = {}, hardwareAffinity }: Requirements): string {
  if (hardwareAffinity === undefined) return selectorText(hardwareSelector);
  return hardwareAffinity.required.map(termText).join(' or ');
}

function matchesTerm(machine: Labelled, { matchLabels, matchExpressions }: AffinityTerm): boolean {
  return matches(machine, matchLabels) && matchExpressions.every((expression) => holds(machine, expression));
}

/** As Kubernetes does it: `NotIn` also holds for a machine without the label. */
function holds({ labels }: Labelled, { key, operator, values }: LabelExpression): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

function termText({ matchLabels, matchExpressions }: AffinityTerm): string {
  const labels = Object.keys(matchLabels).length === 0 ? [] : [selectorText(matchLabels)];
  const all = [...labels, ...matchExpressions.map(expressionText)];
  return all.length === 0 ? 'any machine' : all.join(' and ');
}

function expressionText({ key, operator, values }: LabelExpression): string {
  switch (operator) {
    case 'In':
      return `${key} in (${values.join(', ')})`;
    case 'NotIn':
      return `${key} not in (${values.join(', ')})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `no ${key}`;
  }
}
