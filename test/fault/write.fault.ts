/**
 * Faults of the write path, in parts. Counts rounds by what their fault was and ends with `N passed, N failed`. For root the disks are
 * loop devices, for others files; power-cut needs root and what `npm run e2e` builds.
 *
 *   npm run fault -- write [PART …] [--rounds N] [--seed N]
 */
import { parseArgs } from 'node:util';
import { type FaultPart, runPart } from './fault-run.ts';
import { HOST_PARTS } from './write/parts.ts';
import { powerCut } from './write/power-cut.ts';

const PARTS: readonly FaultPart[] = [...HOST_PARTS, powerCut];

const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string' }, seed: { type: 'string' } },
  allowPositionals: true,
});
const unknown = positionals.find((name) => PARTS.every((part) => part.name !== name));
if (unknown !== undefined) {
  console.error(`there is no part ${unknown}: there are ${PARTS.map(({ name }) => name).join(', ')}`);
  process.exit(64);
}
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const chosen = positionals.length === 0 ? PARTS : PARTS.filter(({ name }) => positionals.includes(name));
let [passed, failed] = [0, 0];
for (const part of chosen) {
  const rounds = Number(values.rounds ?? part.rounds);
  console.log(`${part.name}: ${part.summary} Up to ${rounds} rounds, --seed ${seed}`);
  const startedAt = performance.now();
  const counts = await runPart(part, { rounds, seed, say: (line) => console.log(line) });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(`${part.name}: ${counts.passed} passed, ${counts.failed} failed, ${seconds} s`);
  passed += counts.passed;
  failed += counts.failed;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
