/**
 * The agent's write path against what an administrator would type, `curl | DECODER | dd`, on a full image: every format from a URL, and
 * the same image from the library. The agent checks what it writes; `sha256 | zstd -dc | sha256` is a pipeline that does so, too. Needs root, curl, dd, gzip,
 * zstd, xz, openssl, losetup and mke2fs; igzip joins in where it is installed.
 *
 *   npm run bench -- write-image [--size-mib 1024] [--runs 2] [--only zst,gz,xz,raw,far,library]
 */
import { parseArgs } from 'node:util';
import { benchPlace, compressed, dirty, fullImage, keyFile, packed, pathOf } from './bench-images.ts';
import {
  type Contender,
  cleanUpOnSignals,
  costLines,
  inTurns,
  isInstalled,
  type Line,
  median,
  printLines,
  rateLines,
  serve,
  settle,
  timePipeline,
  timeScript,
} from './bench-place.ts';
import { floorLines } from './floors.ts';

const { values } = parseArgs({
  options: {
    'size-mib': { type: 'string', default: '1024' },
    runs: { type: 'string', default: '2' },
    only: { type: 'string', default: 'zst,gz,xz,raw,far,library' },
  },
});
const runs = Number(values.runs);

interface Comparison {
  readonly title: string;
  /** What the pipelines download. */
  readonly file: string;
  /** Default: the product's own server on loopback. */
  readonly base?: string;
  readonly decoder: string;
  readonly own: Contender[1];
  /** Stage between curl and dd → how many times as fast the agent should be; 0: just so that one knows. */
  readonly pipelines: Readonly<Record<string, number>>;
}

const CHECKED = `tee >(openssl dgst -sha256 > /dev/null)`;

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await fullImage(Number(values['size-mib']));
await packed(image);
const [zst, gz, xz] = [await compressed(image, 'zst'), await compressed(image, 'gz'), await compressed(image, 'xz')];
const place = await benchPlace(image, cleanup);

/** A round trip of 20 ms, and 1 MiB in each of them on each connection. */
const farBase = await serve('./serve-far.ts', [pathOf(zst), '20', String(1 << 20)], cleanup);

function fromUrl(file: string, base = place.base): Contender[1] {
  return () => timeScript('write-image-agent.ts', [`${base}/${file}`, place.device]);
}

const comparisons: Readonly<Record<string, Comparison>> = {
  zst: {
    title: 'zst URL',
    file: zst,
    decoder: 'zstd -dc',
    own: fromUrl(zst),
    pipelines: { 'zstd -dc': 1 },
  },
  gz: {
    title: 'gz URL',
    file: gz,
    decoder: (await isInstalled('igzip')) ? 'igzip -dc' : 'gzip -dc',
    own: fromUrl(gz),
    pipelines: { 'gzip -dc': 2, ...((await isInstalled('igzip')) && { 'igzip -dc': 1 }) },
  },
  xz: {
    title: 'xz URL',
    file: xz,
    decoder: 'xz -dc -T0',
    own: fromUrl(xz),
    pipelines: { 'xz -dc': 0, 'xz -dc -T0': 0 },
  },
  far: {
    title: 'zst URL far away',
    file: zst,
    base: farBase,
    decoder: 'zstd -dc',
    own: fromUrl(zst, farBase),
    pipelines: { 'zstd -dc': 1 },
  },
  raw: { title: 'raw URL', file: image.raw, decoder: 'cat', own: fromUrl(image.raw), pipelines: { cat: 0 } },
  library: {
    title: 'library',
    file: zst,
    decoder: 'zstd -dc',
    own: () => timeScript('library-image-agent.ts', [`${place.base}/folders/`, image.name, keyFile, place.device]),
    pipelines: { 'zstd -dc': 1.5, [`${CHECKED} | zstd -dc | ${CHECKED}`]: 0 },
  },
};

async function compare({
  title,
  file,
  base = place.base,
  decoder,
  own,
  pipelines,
}: Comparison): Promise<readonly Line[]> {
  const url = `${base}/${file}`;
  const others = Object.keys(pipelines).map((name): Contender => [name, () => timePipeline(name, url, place.device)]);
  const timings = await inTurns([['agent', own], ...others], runs, async () => {
    await dirty(place.device, image.sizeBytes);
    await settle(place.device, place.diskFile);
  });
  const shortNames = new Map([...timings].map(([name, list]) => [name.replaceAll(CHECKED, 'sha256'), list]));
  const goals = Object.fromEntries(Object.entries(pipelines).filter(([, goal]) => goal > 0));
  const [imageBytes, runsOfOurs] = [image.sizeBytes, timings.get('agent') ?? []];
  const way = { title, imageBytes, url, file: pathOf(file), raw: pathOf(image.raw), decoder, place };
  return [
    ...rateLines(title, shortNames, imageBytes, goals),
    ...costLines(title, runsOfOurs),
    ...(await floorLines(way, imageBytes / 1e6 / median(runsOfOurs))),
  ];
}

const lines: Line[] = [];
for (const name of values.only.split(',')) {
  const comparison = comparisons[name];
  if (comparison === undefined) throw new Error(`--only ${name}: use ${Object.keys(comparisons).join(', ')}`);
  lines.push(...(await compare(comparison)));
}
printLines(lines);
