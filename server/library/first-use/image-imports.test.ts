import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ImageJobs } from '../image-jobs.ts';
import { ImageImports } from './image-imports.ts';
import type { WantedImage } from './wanted-image.ts';

const WANTED: WantedImage = {
  url: new URL('http://127.0.0.1/disk.raw'),
  proxy: {},
  task: 0,
  action: 0,
  actionName: 'stream image',
  key: 'k',
  shown: 'http://127.0.0.1/disk.raw',
  file: 'disk.raw',
};

describe('imports on first use', () => {
  it('that come when the server is stopping are refused, and keep nobody waiting', { timeout: 10_000 }, async () => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing of it may be asked for
    const jobs = {} as ImageJobs;
    const imports = new ImageImports({ jobs, clock: () => new Date(0), isWanted: () => true });
    imports.stop();

    await assert.rejects(imports.import(WANTED), { code: 'unavailable', message: 'the server is stopping' });
    assert.deepEqual(imports.waiting(), []);
  });
});
