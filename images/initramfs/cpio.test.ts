import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { runProgram, tryProgram } from '../packages/run-program.ts';
import { bytesContent, type CpioEntry, writeCpio } from './cpio.ts';

/** Whatever reader of cpio archives the machine has; the arguments that unpack standard input. */
const READERS = [
  ['cpio', '-idmu', '--quiet'],
  ['busybox', 'cpio', '-idmu'],
] as const;

async function pack(entries: readonly CpioEntry[], modifiedAt = 0): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const bytes of writeCpio(entries, { modifiedAt })) parts.push(bytes);
  return Buffer.concat(parts);
}

async function refusal(entries: readonly CpioEntry[]): Promise<string> {
  try {
    await pack(entries);
  } catch (error) {
    assert.ok(error instanceof TinsmithError);
    assert.equal(error.code, 'invalid_input');
    return error.message;
  }
  throw new Error('the archive was written');
}

const file = (path: string, text: string): CpioEntry => ({
  kind: 'file',
  path,
  mode: 0o644,
  content: bytesContent(text),
});
const folder = (path: string): CpioEntry => ({ kind: 'directory', path, mode: 0o755 });

/** The fields of one header, in the order of the format's document. */
function header(bytes: Buffer, at: number): readonly number[] {
  assert.equal(bytes.toString('latin1', at, at + 6), '070701');
  return Array.from({ length: 13 }, (_, index) =>
    Number.parseInt(bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16),
  );
}

describe('writeCpio', () => {
  it('writes the published layout: header, padded name, padded content, trailer', async () => {
    const bytes = await pack([file('a', 'hello')], 7);

    assert.deepEqual(header(bytes, 0), [1, 0o100644, 0, 0, 1, 7, 5, 0, 0, 0, 0, 2, 0]);
    assert.equal(bytes.toString('latin1', 110, 112), 'a\0');
    assert.equal(bytes.toString('latin1', 112, 120), 'hello\0\0\0');
    assert.equal(bytes.toString('latin1', 120 + 110, 120 + 110 + 11), 'TRAILER!!!\0');
    assert.equal(bytes.length % 4, 0);
  });

  it('gives the same bytes for the same entries in any order', async () => {
    const entries = [folder('b'), file('b/x', '1'), file('a', '2'), folder('b-c'), file('b/-', '3')];

    const once = await pack(entries);
    const again = await pack(entries.toReversed());

    assert.ok(once.equals(again));
  });

  it('marks devices with their numbers and links with their target', async () => {
    const entries: CpioEntry[] = [
      { kind: 'character', path: 'console', mode: 0o600, major: 5, minor: 1 },
      { kind: 'block', path: 'disk', mode: 0o660, major: 259, minor: 3 },
      { kind: 'symlink', path: 'link', mode: 0o777, target: '/etc/target' },
    ];

    const bytes = await pack(entries);

    assert.deepEqual(header(bytes, 0).slice(1, 2), [0o020600]);
    assert.deepEqual(header(bytes, 0).slice(9, 11), [5, 1]);
    assert.deepEqual(header(bytes, 120).slice(1, 2), [0o060660]);
    assert.deepEqual(header(bytes, 120).slice(9, 11), [259, 3]);
    assert.equal(header(bytes, 236)[1], 0o120777);
    assert.equal(bytes.toString('latin1', 236 + 116, 236 + 116 + 11), '/etc/target');
  });

  it('refuses what the kernel would unpack elsewhere, drop or never make', async () => {
    assert.match(await refusal([file('../escape', '')]), /not a plain relative path/);
    assert.match(await refusal([file('/absolute', '')]), /not a plain relative path/);
    assert.match(await refusal([folder('a'), file('a//b', '')]), /not a plain relative path/);
    assert.match(await refusal([file('TRAILER!!!', '')]), /not a plain relative path/);
    assert.match(await refusal([file('nul\0byte', '')]), /not a plain relative path/);
    assert.match(await refusal([file('orphan/file', '')]), /orphan is no folder/);
    assert.match(await refusal([file('a', ''), file('a/b', '')]), /a is no folder/);
    assert.match(await refusal([file('a', '1'), file('a', '2')]), /it is there twice/);
    assert.match(await refusal([file('x'.repeat(4096), '')]), /longer than 4095 bytes/);
    assert.match(await refusal([{ kind: 'symlink', path: 'l', mode: 0o777, target: '' }]), /link target has 0 bytes/);
  });

  it('refuses a file of 4 GiB before it reads any of it', async () => {
    const content = {
      sizeBytes: 2 ** 32,
      read: () => {
        throw new Error('it was read');
      },
    };

    assert.match(
      await refusal([{ kind: 'file', path: 'huge', mode: 0o644, content }]),
      /huge: it has 4294967296 bytes/,
    );
  });

  it('refuses a file that has changed its length since it was measured', async () => {
    const content = { sizeBytes: 10, read: () => [Buffer.from('short')] };

    assert.match(
      await refusal([{ kind: 'file', path: 'f', mode: 0o644, content }]),
      /it has 5 bytes, 10 were promised/,
    );
  });

  it('is read back by other programs, long names and links included', async (t) => {
    const longName = `deep/${'n'.repeat(240)}`;
    const entries: CpioEntry[] = [
      folder('deep'),
      file(longName, 'long'),
      file('empty', ''),
      { kind: 'file', path: 'program', mode: 0o755, content: bytesContent(Buffer.alloc(70_001, 7)) },
      { kind: 'symlink', path: 'deep/link', mode: 0o777, target: '../empty' },
    ];
    const archive = await pack(entries);
    for (const reader of READERS) {
      if ((await tryProgram(['sh', '-c', `command -v ${reader[0]}`])).exitCode !== 0) {
        t.diagnostic(`${reader[0]} is not installed: not compared with it`);
        continue;
      }
      const place = await mkdtemp(join(tmpdir(), 'tinsmith-cpio-'));
      try {
        await runProgram([...reader], { cwd: place, input: archive });

        assert.deepEqual((await readdir(place)).toSorted(), ['deep', 'empty', 'program']);
        assert.equal(await readFile(join(place, longName), 'utf8'), 'long');
        assert.equal(await readlink(join(place, 'deep/link')), '../empty');
        assert.equal((await stat(join(place, 'program'))).mode & 0o777, 0o755);
        assert.ok((await readFile(join(place, 'program'))).equals(Buffer.alloc(70_001, 7)));
      } finally {
        await rm(place, { recursive: true, force: true });
      }
    }
  });
});
