/**
 * `node <the agent's V8 flags> make-code-cache.cjs BUNDLE CACHE`: runs the bundle as far as its help text, which loads all of
 * it, and then writes what V8 has compiled for that. Only the same V8 with the same flags takes the cache.
 */
const { readFileSync, writeFileSync } = require('node:fs');
const { startBundle } = require('./start-bundle.cjs');

const [, , bundle, cache] = process.argv;
const { script, run } = startBundle(readFileSync(bundle, 'latin1'), undefined);
process.argv.splice(2, Infinity, '--help');
process.once('exit', () => writeFileSync(cache, script.createCachedData()));
run();
