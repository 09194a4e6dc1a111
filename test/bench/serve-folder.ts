/**
 * Serves the files below a folder on a free port of 127.0.0.1, as the product does, and prints the port: `serve-folder.ts FOLDER [BYTES-A-SECOND]`.
 * Packed images of a library never change, as on the product's own routes; other files are watched.
 */
import type { AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import { ImageAdmission } from '#server/boot/image-admission.ts';
import { sendImage } from '#server/boot/send-image.ts';

const [folder = '.', egress = '0'] = process.argv.slice(2);
const { signal } = new AbortController();
const log = { info: () => undefined };
const admission = new ImageAdmission({ streams: 0, egress: Number(egress), clock: () => new Date(), log });
const server = fastify();
server.get<{ Params: { '*': string } }>('/*', async (request, reply) => {
  const path = request.params['*'];
  const version = { etag: `"${path}"`, cacheControl: 'no-cache' };
  const image = { folders: [folder], path, signal, admission, ...(path.endsWith('/image.zst') && { version }) };
  return (await sendImage(request, reply, image)) ? reply : reply.code(404).send();
});
await server.listen({ host: '127.0.0.1', port: 0 });
console.log((server.server.address() as AddressInfo).port);
