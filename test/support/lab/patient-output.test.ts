import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { patientOutput } from './patient-output.ts';

const BYTES = 20_000;
/** Like QEMU's console: single bytes, no waiting; one that does not fit is lost. Says at its end how many were. */
const IMPATIENT = `use Fcntl;
  fcntl(STDOUT, F_SETFL, O_WRONLY | O_NONBLOCK);
  my $lost = 0;
  for (1 .. ${BYTES}) { syswrite(STDOUT, 'x') or $lost++ }
  open(my $end, '>', "$ARGV[0].part"); print $end $lost; close($end);
  rename("$ARGV[0].part", $ARGV[0]);`;

describe('patientOutput', () => {
  it('loses nothing while the reader does not read', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'patient-output-'));
    const end = join(directory.path, 'lost');
    const [program, ...rest] = patientOutput(['perl', '-e', IMPATIENT, end]);
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    // Nothing is read in here, as when a test process is busy.
    while (!existsSync(end)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    let read = 0;
    for await (const bytes of child.stdout) read += (bytes as Buffer).length;
    assert.equal(await readFile(end, 'utf8'), '0');
    assert.equal(read, BYTES);
  });

  it('is the command itself: its process, its exit code, its input', async () => {
    const [program, ...rest] = patientOutput(['sh', '-c', 'echo "$$ $(cat)"; exit 7']);
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end('typed');
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    let said = '';
    for await (const bytes of child.stdout) said += String(bytes);
    assert.equal(said, `${child.pid} typed\n`);
    assert.equal(await ended, 7);
  });
});
