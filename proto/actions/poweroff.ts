import type { ActionDeclaration } from './declaration.ts';

/** Nothing to choose. */
export type PoweroffParams = Readonly<Record<string, never>>;

export const poweroff: ActionDeclaration<PoweroffParams> = {
  summary: 'Switch the machine off once everything is reported.',
  // Only asks; the machine goes down after the last acknowledged report.
  repeatable: true,
  environment: {},
  parse: () => ({}),
};
