import { spawn, spawnSync } from 'node:child_process';
import { open } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';
import { stretchGpt, writeGpt } from '#agent/write/partition-table.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import type { ImageFormat } from '#transfer/image-format.ts';
import type { Random } from '../fault-run.ts';

const MIB = 1 << 20;
const BLOCK_BYTES = 512;
/** Header and entries of a GPT's copy. */
const GPT_COPY_BLOCKS = 33;

/**
 * A disk image with what real ones hold: a GPT whose last partition reaches to the end, machine code (of Node itself), text, some noise,
 * and frames of zeros.
 */
export async function faultImage(sizeMiB: number, random: Random): Promise<Buffer> {
  const image = Buffer.alloc(sizeMiB * MIB);
  const programs = await open(process.execPath, 'r');
  try {
    const { size } = await programs.stat();
    for (let at = MIB; at < image.length; at += MIB) {
      // A quarter stays empty, in whole frames as in a file system that is not full.
      if (at % (4 * FRAME_BYTES) >= 3 * FRAME_BYTES && at < image.length - FRAME_BYTES) continue;
      const kind = random.fraction();
      if (kind < 0.7) await programs.read(image, at, MIB, random.between(0, size - MIB));
      else if (kind < 0.9)
        for (let line = 0; line < MIB; line += 64) image.write(`${at + line} ${random.fraction()}\n`, at + line);
      else random.bytes(64 << 10).copy(image, at + random.between(0, MIB - (64 << 10)));
    }
  } finally {
    await programs.close();
  }
  return withTable(image);
}

/** With its GPT and the copy of it at the end, both fresh. */
export function withTable(image: Buffer): Buffer {
  const lastBlock = image.length / BLOCK_BYTES - 1 - GPT_COPY_BLOCKS;
  const boot = partition('boot', 1, MIB / BLOCK_BYTES, (8 * MIB) / BLOCK_BYTES - 1);
  const root = partition('root', 2, (8 * MIB) / BLOCK_BYTES, lastBlock);
  const guid = '0f0f0f0f-1111-4222-8333-444444444444';
  writeGpt(image, [boot, root], { guid, blockBytes: BLOCK_BYTES });
  stretch(image);
  return image;
}

function partition(name: string, number: number, firstBlock: number, lastBlock: number) {
  const guid = `aaaaaaaa-bbbb-4ccc-8ddd-${String(number).padStart(12, '0')}`;
  return { type: '0fc63daf-8483-4772-8e79-3d69d8477de4', guid, name, firstBlock, lastBlock };
}

/** The GPT's copy to where the last blocks of `disk` are. */
export function stretch(disk: Buffer): void {
  const tail = disk.subarray(disk.length - MIB);
  stretchGpt(disk.subarray(0, MIB), tail, { sizeBytes: disk.length, blockBytes: BLOCK_BYTES });
}

/** Formats that this machine can make. */
export function formatsHere(): readonly ImageFormat[] {
  const all = ['raw', 'gz', 'zst', 'xz', 'bz2'] as const;
  const program = { raw: undefined, gz: undefined, zst: undefined, xz: 'xz', bz2: 'bzip2' };
  return all.filter((format) => program[format] === undefined || has(program[format]));
}

function has(program: string): boolean {
  return spawnSync(program, ['--help']).error === undefined;
}

/** By Node where it can, else by the system's programs. */
export async function compress(format: ImageFormat, image: Buffer): Promise<Buffer> {
  switch (format) {
    case 'raw':
      return image;
    case 'gz':
      return promisify(gzip)(image, { level: 1 });
    case 'zst':
      return promisify(zstdCompress)(image);
    case 'xz':
      return through(image, 'xz', '-0', '-T1');
    case 'bz2':
      return through(image, 'bzip2', '-1');
  }
}

async function through(image: Buffer, program: string, ...flags: readonly string[]): Promise<Buffer> {
  const child = spawn(program, [...flags, '--stdout'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = new Promise<never>((_, reject) => {
    child.on('error', (cause) => reject(new Error(`${program} is missing: run npm run setup`, { cause })));
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(image);
  return Promise.race([buffer(child.stdout), failed]);
}

/** Another file with one bit flipped somewhere in `from` to `end`. */
export function flipped(file: Buffer, random: Random, from = 0, end = file.length): Buffer {
  const copy = Buffer.from(file);
  const at = random.between(from, end);
  copy.writeUInt8(copy.readUInt8(at) ^ (1 << random.between(0, 8)), at);
  return copy;
}
