import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { missingBootFiles } from './missing-boot-files.ts';

it('names the boot files that are in none of the folders, and what makes each', async () => {
  await using boot = await mkdtempDisposable(join(tmpdir(), 'tinsmith-boot-'));
  await using ipxe = await mkdtempDisposable(join(tmpdir(), 'tinsmith-boot-'));
  const folders = [boot.path, ipxe.path, join(boot.path, 'no-such-folder')];
  await writeFile(join(boot.path, 'vmlinuz'), '');
  await writeFile(join(ipxe.path, 'snponly.efi'), '');

  const missing = await missingBootFiles(folders);
  for (const file of ['initramfs', 'undionly.kpxe']) await writeFile(join(boot.path, file), '');

  assert.deepEqual(
    missing.map(({ file }) => file),
    ['initramfs', 'undionly.kpxe'],
  );
  assert.match(missing[0]?.fix ?? '', /initramfs build/);
  assert.match(missing[1]?.fix ?? '', /ipxe/);
  assert.deepEqual(await missingBootFiles(folders), []);
});
