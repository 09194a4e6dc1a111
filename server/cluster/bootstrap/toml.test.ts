import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readToml } from '#test/support/toml-reader.ts';
import { type TomlTable, tomlText } from './toml.ts';

describe('TOML', () => {
  it('is read back as it was meant, by another reader', () => {
    const table: TomlTable = {
      first: 'of the document',
      settings: {
        'host-containers': { admin: { enabled: true, superpowered: false } },
        kubernetes: {
          'max-pods': 110,
          negative: -1,
          'node-taints': { 'example.com/a': ['b:NoSchedule', ':NoExecute'] },
        },
        registry: {
          mirrors: [
            { registry: '*', endpoint: ['https://m'] },
            { registry: 'b', tls: { skip: true } },
          ],
        },
        empty: [],
      },
    };

    assert.deepEqual(readToml(tomlText(table)), table);
  });

  it('escapes everything that a string may hold', () => {
    const texts = [
      'a "b" \\ c',
      'two\nlines\r\n\ttab',
      'ünï 😀',
      '\u0000\u0001\u001f\u007f\u0080',
      `'''`,
      '',
      '#',
      ' = ',
    ];

    const read = readToml(tomlText({ texts, ...Object.fromEntries(texts.map((text) => [text, text])) }));

    assert.deepEqual(read, { texts, ...Object.fromEntries(texts.map((text) => [text, text])) });
  });

  it('leaves out what is undefined and tables in which nothing is', () => {
    assert.equal(tomlText({ a: undefined, b: {}, c: { d: {}, e: { f: 1 } } }), '[c.e]\nf = 1\n');
  });

  it('refuses numbers that are not whole', () => {
    assert.throws(() => tomlText({ a: 1.5 }), /1\.5/);
  });
});
