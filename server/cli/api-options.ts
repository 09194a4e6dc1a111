import { readFile } from 'node:fs/promises';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';
import { type ApiClient, apiClient } from './api-client.ts';
import type { CommandInput, OptionSpec } from './command.ts';

const DEFAULT_SERVER = 'http://127.0.0.1:7180';
const DEFAULT_TOKEN_FILE = '/var/lib/tinsmith/admin.token';

/** Options of every command that talks to the server. There is none for the token itself: argv is visible to everyone. */
export const API_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  server: { type: 'string', value: 'URL', summary: `Server to talk to (TINSMITH_SERVER, ${DEFAULT_SERVER}).` },
  'token-file': {
    type: 'string',
    value: 'FILE',
    summary: `File with the admin token (TINSMITH_TOKEN_FILE, ${DEFAULT_TOKEN_FILE}).`,
  },
};

/** The client that options and environment describe. A flag beats the environment, the environment beats the default. */
export function clientFor(
  input: CommandInput,
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): ApiClient {
  const server = input.text('server') ?? nonEmpty(environment['TINSMITH_SERVER']) ?? DEFAULT_SERVER;
  const token = async (): Promise<string> => {
    const flag = input.text('token-file');
    const variable = nonEmpty(environment['TINSMITH_TOKEN']);
    if (flag === undefined && variable !== undefined) return usable(variable, 'TINSMITH_TOKEN');
    const path = flag ?? nonEmpty(environment['TINSMITH_TOKEN_FILE']) ?? DEFAULT_TOKEN_FILE;
    return usable(await readToken(path), path);
  };
  return apiClient({ server, token, signal });
}

async function readToken(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const fact = systemCodeOf(cause) ?? String(cause);
    throw new TinsmithError(
      'unauthenticated',
      `cannot read the admin token in ${path}: ${fact}; name the server's admin.token with --token-file or TINSMITH_TOKEN_FILE`,
      { cause },
    );
  }
}

function usable(text: string, origin: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new TinsmithError('unauthenticated', `the token of ${origin} is empty or has characters that no token has`);
  }
  return token;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
