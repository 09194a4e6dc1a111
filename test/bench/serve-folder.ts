/** Serves the files below a folder on a free port of 127.0.0.1, as the product does, and prints the port: `serve-folder.ts FOLDER`. */
import type { AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import { sendFile } from '#server/boot/send-file.ts';

const folder = process.argv[2] ?? '.';
const { signal } = new AbortController();
const server = fastify();
server.get<{ Params: { '*': string } }>('/*', async (request, reply) => {
  const answer = await sendFile(request, reply, { folders: [folder], path: request.params['*'], signal });
  return answer === 'sent' ? reply : reply.code(404).send();
});
await server.listen({ host: '127.0.0.1', port: 0 });
console.log((server.server.address() as AddressInfo).port);
