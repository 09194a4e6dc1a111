import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDispensable, trimIcu } from './trim-icu.ts';

/** An ICU common-data package as it lies in a binary: header, table of contents, names, data; with bytes around it. */
function binaryWith(items: readonly (readonly [name: string, data: string])[], before = 48): Buffer {
  const head = Buffer.alloc(32);
  head.writeUInt16LE(32, 0);
  head.set([0xda, 0x27], 2);
  head.write('CmnD', 12);
  const names = Buffer.from(items.map(([name]) => `${name}\0`).join(''));
  const table = Buffer.alloc(4 + items.length * 8);
  table.writeUInt32LE(items.length, 0);
  let nameAt = table.length;
  let dataAt = table.length + names.length;
  for (const [index, [name, data]] of items.entries()) {
    table.writeUInt32LE(nameAt, 4 + index * 8);
    table.writeUInt32LE(dataAt, 8 + index * 8);
    nameAt += name.length + 1;
    dataAt += data.length;
  }
  const data = Buffer.from(items.map(([, text]) => text).join(''));
  return Buffer.concat([Buffer.alloc(before, 0x90), head, table, names, data, Buffer.from('code after it')]);
}

const ITEMS = [
  ['icudt78l/brkitr/thaidict.dict', 'THAI'],
  ['icudt78l/coll/de.res', 'DEUTSCH'],
  ['icudt78l/en.res', 'ENGLISH'],
  ['icudt78l/nfc.nrm', 'NORMAL'],
  ['icudt78l/root.res', 'ROOT'],
  ['icudt78l/zu.res', 'ZULU'],
] as const;

describe('trimIcu', () => {
  it('takes other languages out of the table and makes their bytes zeros', () => {
    const binary = binaryWith(ITEMS);

    const result = trimIcu(binary);

    assert.deepEqual(result, { removed: 2, zeroedBytes: 11 });
    const text = binary.toString('latin1');
    assert.ok(!text.includes('THAI') && !text.includes('DEUTSCH') && !text.includes('icudt78l/coll/de.res'));
    for (const kept of ['ENGLISH', 'NORMAL', 'ROOT', 'ZULU', 'code after it']) assert.ok(text.includes(kept), kept);
    const table = 48 + 32;
    assert.equal(binary.readUInt32LE(table), 4);
    const nameAt = binary.readUInt32LE(table + 4);
    const dataAt = binary.readUInt32LE(table + 8);
    assert.equal(binary.toString('latin1', table + nameAt, table + nameAt + 15), 'icudt78l/en.res');
    assert.equal(binary.toString('latin1', table + dataAt, table + dataAt + 7), 'ENGLISH');
  });

  it('keeps the length and changes nothing the second time', () => {
    const binary = binaryWith(ITEMS);
    const length = binary.length;
    trimIcu(binary);
    const once = Buffer.from(binary);

    assert.equal(trimIcu(binary).removed, 0);
    assert.equal(binary.length, length);
    assert.ok(binary.equals(once));
  });

  it('leaves a binary alone that holds no package, or one that does not hold together', () => {
    const unordered = binaryWith(ITEMS.toReversed());
    const foreign = binaryWith([
      ['other/de.res', 'DATA'],
      ['other/fr.res', 'DATA'],
    ]);
    const cut = binaryWith(ITEMS).subarray(0, 48 + 32 + 20);
    const endless = binaryWith(ITEMS);
    endless.writeUInt32LE(0xffffffff, 48 + 32);
    for (const binary of [Buffer.from('no CmnD here'), Buffer.from('CmnD'), unordered, foreign, cut, endless]) {
      const before = Buffer.from(binary);

      assert.deepEqual(trimIcu(binary), { removed: 0, zeroedBytes: 0 });
      assert.ok(binary.equals(before));
    }
  });
});

describe('isDispensable', () => {
  it('keeps English, the root language and what belongs to no language', () => {
    for (const name of [
      'en.res',
      'en_US.res',
      'root.res',
      'curr/pool.res',
      'nfkc.nrm',
      'uts46.nrm',
      'zoneinfo64.res',
      'brkitr/word.brk',
    ]) {
      assert.equal(isDispensable(`icudt78l/${name}`), false, name);
    }
    for (const name of [
      'de.res',
      'zone/sr_Latn_BA.res',
      'fil.res',
      'ibm-1390_P110-2003.cnv',
      'translit/el.res',
      'brkitr/ja.res',
    ]) {
      assert.equal(isDispensable(`icudt78l/${name}`), true, name);
    }
  });
});
