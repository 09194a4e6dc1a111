/**
 * The import of an image into the library (pack, hash and index it, once through) against `zstd` and `sha256sum` on the same file.
 *
 *   npm run bench -- import [--size-mib 1024] [--runs 2]
 */
import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { fullImage, pathOf } from './bench-images.ts';
import {
  type Contender,
  cleanUpOnSignals,
  inTurns,
  printLines,
  rateLines,
  timeScript,
  timeShell,
} from './bench-place.ts';

const { values } = parseArgs({
  options: { 'size-mib': { type: 'string', default: '1024' }, runs: { type: 'string', default: '2' } },
});

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await fullImage(Number(values['size-mib']));
const [raw, target, scratch] = [pathOf(image.raw), pathOf('imported.zst'), pathOf('imported')];
cleanup.defer(() => rm(target, { force: true }));
cleanup.defer(() => rm(scratch, { recursive: true, force: true }));
const contenders: Contender[] = [
  ['import', () => timeScript('import-server.ts', [image.name, raw, scratch])],
  ['zstd -3 -T2', () => timeShell(`zstd -q -f -3 -T2 ${raw} -o ${target} && sync ${target}`)],
  [
    'zstd -3 -T2, sha256sum',
    () => timeShell(`tee >(sha256sum > /dev/null) < ${raw} | zstd -q -f -3 -T2 -o ${target} && sync ${target}`),
  ],
];
const timings = await inTurns(contenders, Number(values.runs), () => rm(scratch, { recursive: true, force: true }));
printLines(rateLines('import', timings, image.sizeBytes));
