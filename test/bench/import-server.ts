/** One import into an empty library, in a process of its own: `import-server.ts NAME RAW-FILE FOLDER`; prints one line of JSON. */
import { benchLibrary, importInto } from './bench-images.ts';
import { ownUsage } from './own-usage.ts';

const [name = '', raw = '', folder = ''] = process.argv.slice(2);
const library = await benchLibrary(folder);
const startedAt = performance.now();
await importInto(library, { name, raw, sizeBytes: 0 });
const seconds = (performance.now() - startedAt) / 1000;
console.log(JSON.stringify({ seconds, ...ownUsage() }));
