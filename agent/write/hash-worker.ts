/** A thread that sums up what others put into memory that it shares with them: see `hash-threads.ts`. */
import { hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { SharedBytes } from './hash-threads.ts';

parentPort?.on('message', ({ memory, offset, bytes }: SharedBytes) => {
  parentPort?.postMessage(hash('sha256', new Uint8Array(memory, offset, bytes), 'hex'));
});
