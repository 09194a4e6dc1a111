/** A process with all that an agent's write paths load, which does nothing; prints one line of JSON. */
import { writeLibraryImage } from '#agent/write/library/write-library-image.ts';
import { writeImage } from '#agent/write/write-image.ts';
import { ownUsage } from './own-usage.ts';

const loaded = [writeImage, writeLibraryImage].length;
console.log(JSON.stringify({ loaded, ...ownUsage() }));
