/**
 * What the packed executable runs first: the agent's bundle, compiled from V8's own cache of it where there is one. Compiling
 * is a third of the time that an agent takes to start, most of all on slow and emulated processors. A cache that does not fit
 * (another V8, other flags) is refused by V8 and costs nothing but the time. `startBundle` is also what makes the cache.
 */
const { Script } = require('node:vm');

/**
 * @param {string} source the bundle, CommonJS, ASCII
 * @param {Uint8Array | undefined} cachedData
 * @returns {{ script: Script, run: () => void }}
 */
function startBundle(source, cachedData) {
  const wrapped = `(function (require, module, exports, __filename, __dirname) {${source}\n})`;
  const script = new Script(wrapped, { filename: 'tinsmith-agent.js', cachedData });
  const run = () => script.runInThisContext()(require, module, module.exports, __filename, __dirname);
  return { script, run };
}

const { isSea, getRawAsset } = require('node:sea');
if (isSea()) {
  // The cache is empty for a processor that the build could not run.
  const cachedData = Buffer.from(getRawAsset('main.cache'));
  const source = Buffer.from(getRawAsset('main.js')).latin1Slice();
  startBundle(source, cachedData.length === 0 ? undefined : cachedData).run();
} else module.exports = { startBundle };
