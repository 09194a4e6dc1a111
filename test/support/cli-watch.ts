import { setTimeout as delay } from 'node:timers/promises';
import type { ApiWorld } from './api-world.ts';
import type { CliProcess } from './cli-process.ts';
import { hardwareManifest } from './records.ts';

const byOperator = { actor: 'operator' } as const;

/** For the store: one machine and nothing else. */
export function hardwareOnly(name: string, number: number) {
  return { hardware: [hardwareManifest(name, number)], templates: [], workflows: [] };
}

/** Makes small changes until the watch shows one: then it is connected. */
export async function untilWatching(world: ApiWorld, watch: CliProcess): Promise<void> {
  const shown = watch.printed('\n').then(() => true);
  for (let round = 0; ; round += 1) {
    await world.transitions.apply(hardwareOnly('nudge', 200 + (round % 2)), byOperator);
    await world.transitions.setNetboot('one', round % 2 === 1, byOperator).catch(() => undefined);
    if (await Promise.race([shown, delay(100, false)])) break;
  }
}
