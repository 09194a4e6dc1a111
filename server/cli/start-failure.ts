import { TinsmithError } from '#proto/errors.ts';

/** What the operating system said, as Node tells it. */
interface SystemError extends Error {
  readonly code: string;
  readonly syscall?: string;
  readonly path?: string;
  readonly address?: string;
  readonly port?: number;
}

/**
 * Gives the operating system's refusals at the start of the server a sentence that an operator can act on. Everything
 * else is returned as it is.
 */
export function startFailure(thrown: unknown): unknown {
  const said = systemErrorOf(thrown);
  if (said === undefined) return thrown;
  const sentence = said.path === undefined ? portSentence(said) : folderSentence(said.code, said.path);
  if (sentence === undefined) return thrown;
  return new TinsmithError(CODES[said.code] ?? 'unavailable', sentence, { cause: thrown });
}

const CODES: Readonly<Record<string, 'forbidden' | 'conflict' | 'write_failed'>> = {
  EACCES: 'forbidden',
  EPERM: 'forbidden',
  EADDRINUSE: 'conflict',
  ENOSPC: 'write_failed',
  EROFS: 'write_failed',
  ENOTDIR: 'write_failed',
  ENOENT: 'write_failed',
  EEXIST: 'write_failed',
};

function portSentence({ code, address, port }: SystemError): string | undefined {
  if (port === undefined) return undefined;
  const where = `cannot listen on ${address ?? 'any address'} port ${port}`;
  if (code === 'EADDRINUSE') {
    return `${where}: another program has it (EADDRINUSE); stop that one (\`ss -lntup\` names it) or choose another port, see tinsmith serve --help`;
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return `${where}: this user may not use ports below 1024 (${code}); run it as root or with CAP_NET_BIND_SERVICE`;
  }
  return undefined;
}

function folderSentence(code: string, path: string): string | undefined {
  const facts: Readonly<Record<string, string>> = {
    EACCES: 'this user may not write there',
    EPERM: 'this user may not write there',
    EROFS: 'its file system is read-only',
    ENOSPC: 'its file system is full',
    ENOTDIR: 'a part of the path is a file',
    ENOENT: 'its file system takes no new folders there',
    EEXIST: 'it is a file',
  };
  const fact = facts[code];
  if (fact === undefined) return undefined;
  return `cannot use ${path}: ${fact} (${code}); choose another folder with --data-dir, --boot-dir, --images-dir or --library-dir`;
}

/** Only what no part of the server has put into words yet: their sentences name the part and its setting. */
function systemErrorOf(thrown: unknown): SystemError | undefined {
  return thrown instanceof Error && isSystemError(thrown) ? thrown : undefined;
}

function isSystemError(error: Error): error is SystemError {
  return 'syscall' in error && 'code' in error && typeof error.code === 'string';
}
