/**
 * Serves one file on a free port of 127.0.0.1 as if it were far away, and prints the port: `serve-far.ts FILE ROUND-TRIP-MS WINDOW`.
 * Each answer begins a round trip late, and each connection carries one window of bytes a round trip.
 */
import { readFile } from 'node:fs/promises';
import { farServer } from '#test/support/far-server.ts';
import { hostileServer } from '#test/support/hostile-server.ts';

const [file = '', roundTripMs = '20', windowBytes = '1048576'] = process.argv.slice(2);
const { answer } = farServer({ roundTripMs: Number(roundTripMs), windowBytes: Number(windowBytes) });
const { url } = await hostileServer(await readFile(file), [answer]);
console.log(new URL(url).port);
