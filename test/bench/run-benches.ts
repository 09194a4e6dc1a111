/**
 * Runs benchmarks one after the other and compares their ratios with the committed baseline:
 *
 *   npm run bench                          all of them, then the table
 *   npm run bench -- NAME [options]        one; its options are in the head of test/bench/NAME.bench.ts
 *   npm run bench -- --check               all; ends with 1 when a ratio is worse than the baseline by more than the tolerance
 *   npm run bench -- --update-baseline     all; what came out becomes the baseline and the table of docs/benchmarks.md
 *   npm run bench -- --table               none; that table is made anew from the baseline
 *
 * Only ratios and other figures that do not depend on the machine are compared: both sides ran on the same machine in the same minutes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Baseline, compareWithBaseline } from './baseline.ts';
import type { Line } from './bench-place.ts';
import { withRatioTable } from './ratio-table.ts';

const folder = import.meta.dirname;
const baselineFile = join(folder, 'baseline.json');
const page = join(folder, '../../docs/benchmarks.md');
const [first, ...rest] = process.argv.slice(2);
const all = (await readdir(folder)).flatMap((file) => /^(.+)\.bench\.ts$/.exec(file)?.[1] ?? []).toSorted();

async function runBench(name: string, options: readonly string[]): Promise<readonly Line[]> {
  const child = spawn(process.execPath, [join(folder, `${name}.bench.ts`), ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  let output = '';
  for await (const text of child.stdout.setEncoding('utf8')) output += String(text);
  const [exitCode, signal] = await ended;
  if (exitCode !== 0) throw new Error(`the benchmark ${name} ended with ${exitCode ?? signal}`);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '[]');
}

function usage(): never {
  console.error(
    `usage: npm run bench -- [NAME [options] | --check | --update-baseline | --table]\nNAME is one of: ${all.join(', ')}`,
  );
  process.exit(64);
}

async function runAll(): Promise<readonly Line[]> {
  const lines: Line[] = [];
  for (const name of all) {
    console.error(`== ${name}`);
    lines.push(...(await runBench(name, [])));
  }
  return lines;
}

async function readBaseline(): Promise<Baseline> {
  return JSON.parse(await readFile(baselineFile, 'utf8'));
}

async function writeTable(): Promise<void> {
  await writeFile(page, withRatioTable(await readFile(page, 'utf8'), await readBaseline()));
}

if (first !== undefined && all.includes(first)) {
  console.log(JSON.stringify(await runBench(first, rest)));
} else if (first === undefined || first === '--check' || first === '--update-baseline') {
  const lines = await runAll();
  if (first === '--update-baseline') {
    const baseline = Object.fromEntries(
      lines.filter(({ unit }) => unit === 'ratio').map(({ name, value }) => [name, Number(value.toFixed(3))]),
    );
    await writeFile(baselineFile, `${JSON.stringify(baseline, undefined, 2)}\n`);
    await writeTable();
  }
  const worse = compareWithBaseline(lines, await readBaseline());
  for (const sentence of worse) console.error(sentence);
  if (first === '--check') process.exitCode = worse.length === 0 ? 0 : 1;
} else if (first === '--table') await writeTable();
else usage();
