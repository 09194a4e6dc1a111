import type { ActionDeclaration } from './declaration.ts';

/** Nothing to choose. */
export type RebootParams = Readonly<Record<never, never>>;

export const reboot: ActionDeclaration<RebootParams> = {
  summary: 'Restart the machine once everything is reported; it then boots from its disk.',
  // Only asks; the restart itself follows the last acknowledged report.
  repeatable: true,
  environment: {},
  parse: () => ({}),
};
