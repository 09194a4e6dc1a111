import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';

const SHORTEST_TOKEN = 32;

/**
 * The bearer token of the admin API: read from `<dataDir>/admin.token`, which is made on the first start (0600, 256 random
 * bits). Two servers that start at once get the same one; a crash half-way leaves no half token.
 * @throws TinsmithError `invalid_input` when the file holds something that is too short to be a token.
 */
export async function ensureAdminToken(dataDir: string): Promise<string> {
  const path = join(dataDir, 'admin.token');
  const existing = await readToken(path);
  if (existing !== undefined) return existing;
  await mkdir(dataDir, { recursive: true });
  await createOnce(path, `${randomBytes(32).toString('base64url')}\n`);
  const made = await readToken(path);
  if (made === undefined) throw new TinsmithError('internal', `cannot read ${path}: it vanished after it was made`);
  return made;
}

async function readToken(path: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw TinsmithError.from(error, 'unavailable');
  }
  const token = text.trim();
  if (token.length < SHORTEST_TOKEN) {
    throw new TinsmithError(
      'invalid_input',
      `cannot use the token in ${path}: it has ${token.length} characters and needs at least ${SHORTEST_TOKEN}; delete the file to get a new one`,
    );
  }
  return token;
}

/** Link after write: the name appears with the whole content, and only if nobody else was first. */
async function createOnce(path: string, content: string): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await using file = await open(draft, 'wx', 0o600);
    await file.writeFile(content);
    await file.sync();
    await link(draft, path);
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Whether an `Authorization` header shows the token; takes as long for a wrong one as for the right one. */
export function showsToken(header: string | undefined, token: string): boolean {
  const shown = /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(shown), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
