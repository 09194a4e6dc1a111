import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runProgram } from '../packages/run-program.ts';

const STARTER = join(import.meta.dirname, 'start-bundle.cjs');
const FLAGS = ['--max-semi-space-size=8'];

/** Like the agent: it ends the process itself, and it has something to compile. */
const BUNDLE = `
  const { basename } = require('node:path');
  function answer() { return process.argv.includes('--help') ? 'help' : basename('/a/started'); }
  console.log(answer());
  process.exit(0);
`;

/** Starts the bundle as the packed executable does. Prints whether V8 refused the cache, then what the bundle prints. */
const START = `
  const { readFileSync } = require('node:fs');
  const { startBundle } = require(${JSON.stringify(STARTER)});
  const { script, run } = startBundle(readFileSync('main.js', 'latin1'), readFileSync('main.cache'));
  console.log('refused', script.cachedDataRejected);
  run();
`;

describe("the agent's code cache", () => {
  it('is taken by the V8 that made it, refused when it is for another bundle, and never changes what runs', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-cache-'));
    const cwd = folder.path;
    const node = [process.execPath, ...FLAGS] as const;
    const bundle = join(cwd, 'main.js');
    const cache = join(cwd, 'main.cache');
    await writeFile(bundle, BUNDLE);

    const said = await runProgram([...node, join(import.meta.dirname, 'make-code-cache.cjs'), bundle, cache]);
    const fitting = await runProgram([...node, '-e', START], { cwd });
    await writeFile(bundle, `${BUNDLE}// other`);
    const other = await runProgram([...node, '-e', START], { cwd });

    assert.equal(said, 'help\n');
    assert.ok((await readFile(cache)).length > 0);
    assert.equal(fitting, 'refused false\nstarted\n');
    assert.equal(other, 'refused true\nstarted\n');
  });
});
