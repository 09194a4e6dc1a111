/** Fails when proto/gen and docs/actions.md are not what `npm run generate` makes. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { actionReference } from './action-reference.ts';

const root = resolve(import.meta.dirname, '..');
const generated = 'gen/tinsmith/agent/v1/agent_pb.ts';
const folder = mkdtempSync(join(tmpdir(), 'tinsmith-generated-'));
try {
  for (const part of ['tinsmith', 'buf.yaml', 'buf.gen.yaml']) {
    cpSync(join(root, 'proto', part), join(folder, part), { recursive: true });
  }
  const path = `${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`;
  execFileSync('buf', ['generate'], { cwd: folder, env: { ...process.env, PATH: path }, stdio: 'inherit' });
  if (readFileSync(join(folder, generated), 'utf8') !== readFileSync(join(root, 'proto', generated), 'utf8')) {
    console.error(`proto/${generated} is stale: run npm run generate and commit the result`);
    process.exitCode = 1;
  }
  if (readFileSync(join(root, 'docs/actions.md'), 'utf8') !== actionReference()) {
    console.error('docs/actions.md is stale: run npm run generate and commit the result');
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
