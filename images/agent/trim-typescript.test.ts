import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { it } from 'node:test';
import { trimTypeScript } from './trim-typescript.ts';

function binary(text: string): Buffer {
  return Buffer.concat([Buffer.alloc(100, 0xff), Buffer.from(`x; var bytes = Buffer2.from("${text}", "base64"); y`)]);
}

it('blanks the compiler that Node carries as text, and nothing beside it', () => {
  const text = 'QUJD'.repeat(500_000);
  const found = binary(text);

  assert.equal(trimTypeScript(found), text.length);

  assert.deepEqual(found, binary(' '.repeat(text.length)));
  assert.equal(trimTypeScript(found), 0, 'twice is harmless');
});

it('leaves texts alone that are short, no base64, or do not end', () => {
  for (const text of ['QUJD', `${'QUJD'.repeat(500_000)}-`, ''.padEnd(2_000_000, '= ')]) {
    const found = binary(text);
    assert.equal(trimTypeScript(found), 0);
    assert.deepEqual(found, binary(text));
  }
  assert.equal(trimTypeScript(Buffer.from(`var bytes = Buffer2.from("${'QUJD'.repeat(500_000)}`)), 0);
});

it('finds it in the Node that the agent is made of', async () => {
  const node = await readFile(process.execPath);

  assert.ok(trimTypeScript(node) > 3_000_000);
});
