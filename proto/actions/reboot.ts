import type { ActionDeclaration } from './declaration.ts';

/** Nothing to choose: what EKS Anywhere's templates set (volumes, pid) has no meaning here. */
export type RebootParams = Readonly<Record<string, never>>;

export const reboot: ActionDeclaration<RebootParams> = {
  summary: 'Restart the machine once everything is reported; it then boots from its disk.',
  // Only asks; the restart itself follows the last acknowledged report.
  repeatable: true,
  fixes: ['The machine restarts once every report is acknowledged: no volume and no host process is needed.'],
  environment: {},
  parse: () => ({}),
};
