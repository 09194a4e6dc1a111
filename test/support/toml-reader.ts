import { execFileSync } from 'node:child_process';

const PROGRAM = 'import json, sys, tomllib; json.dump(tomllib.loads(sys.stdin.buffer.read().decode()), sys.stdout)';

/** TOML as Python's own library reads it: a second opinion on what we write. */
export function readToml(text: string): unknown {
  return JSON.parse(execFileSync('python3', ['-c', PROGRAM], { input: text, encoding: 'utf8' }));
}
