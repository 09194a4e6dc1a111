import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { isElf, readElf } from './elf-file.ts';
import { elfFixture } from './elf-fixture.ts';

describe('readElf', () => {
  it('finds the libraries and the loader of a real program', async () => {
    const { needed, interpreter } = readElf(await readFile(process.execPath), 'node');

    assert.ok(needed.includes('libc.so.6'), needed.join(' '));
    assert.match(interpreter ?? '', /\/ld-linux[^/]*\.so\.\d$/);
  });

  it('keeps every value of a key that a module names more than once', () => {
    const modinfo = ['alias=pci:v00001AF4d*', 'license=GPL', 'alias=virtio:d00000001v*', 'depends=virtio,virtio_ring'];

    const facts = readElf(elfFixture({ modinfo }), 'm.ko').modinfo;

    assert.deepEqual(facts.get('alias'), ['pci:v00001AF4d*', 'virtio:d00000001v*']);
    assert.deepEqual(facts.get('depends'), ['virtio,virtio_ring']);
  });

  it('refuses what is no 64-bit little-endian ELF file and names it', () => {
    const other = elfFixture({});
    other[5] = 2;

    assert.throws(() => readElf(Buffer.from('#!/bin/sh\n'), 'script'), /cannot read script: it is not a 64-bit/);
    assert.throws(() => readElf(other, 'big-endian'), /cannot read big-endian/);
    assert.equal(isElf(Buffer.from('#!')), false);
  });

  it('refuses a file that is cut anywhere, instead of crashing or inventing', () => {
    const whole = elfFixture({ needed: ['libc.so.6'], modinfo: ['depends=x'], interpreter: '/lib/ld.so' });
    for (let length = 0; length < whole.length; length += 1) {
      assert.throws(() => readElf(whole.subarray(0, length), 'cut'), { code: 'invalid_input' }, `cut at ${length}`);
    }
  });
});
