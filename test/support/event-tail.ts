/**
 * Prints the server's events, one JSON document a line, for ever: runs inside a lab's namespace, where the admin API is.
 * argv: URL of the API, file of its token. A server that is away (tests kill it) is asked again from the last event seen.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

const [url = '', tokenFile = ''] = process.argv.slice(2);
let after = 0;
for (;;) {
  await follow().catch(() => {}); // The server is away: tests do that on purpose.
  await delay(200);
}

async function follow(): Promise<void> {
  const headers = { authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` };
  const response = await fetch(`${url}/api/v1/events/stream?after=${after}`, { headers });
  if (!response.ok || response.body === null) return;
  let [id, data] = [after, ''];
  for await (const line of createInterface({ input: Readable.fromWeb(response.body) })) {
    if (line.startsWith('id:')) id = Number(line.slice(3));
    if (line.startsWith('data:')) data = line.slice(5).trim();
    if (line !== '' || data === '') continue;
    // An event ends with an empty line: one that a server sent in part before it was killed is asked for again.
    process.stdout.write(`${data}\n`);
    [after, data] = [id, ''];
  }
}
