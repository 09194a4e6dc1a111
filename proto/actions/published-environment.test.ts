/** Every variable that Tinkerbell's and EKS Anywhere's actions read is taken here too, all of an action at once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ActionName, catalog } from './catalog.ts';
import type { ActionDeclaration } from './declaration.ts';

const PROXY = { HTTP_PROXY: 'http://p:3128', HTTPS_PROXY: 'http://p:3128', NO_PROXY: 'localhost' };
const RETRY = {
  RETRY_ENABLED: 'true',
  RETRY_DURATION_MINUTES: '10',
  PROGRESS_INTERVAL_SECONDS: '3',
  TEXT_LOGGING: 'false',
};
const FILE = { DEST_DISK: '/dev/sda2', FS_TYPE: 'ext4', DEST_PATH: '/etc/x' };
const OWNED = { UID: '0', GID: '0', MODE: '0644', DIRMODE: '0755' };
const SHA256 = 'a'.repeat(64);
const USER = { DEST_DISK: '/dev/sda2', FS_TYPE: 'ext4' };

/** By action: environments that a template may give it; the command where the published image has subcommands. */
const PUBLISHED: Partial<Record<ActionName, readonly (readonly [Record<string, string>, ...string[]])[]>> = {
  image2disk: [
    [{ IMG_URL: 'http://x/y.gz', DEST_DISK: '/dev/sda', COMPRESSED: 'true', ...RETRY, ...PROXY }],
    [{ IMG_URL: 'http://x/y.gz', DEST_DISK: '/dev/sda', IMG_SHA256: SHA256, IMG_RAW_SHA256: SHA256 }],
  ],
  writefile: [
    [{ ...FILE, ...OWNED, CONTENTS: 'x', IFNAME: 'eno1', DHCP_TIMEOUT: '2m' }],
    [{ ...FILE, ...OWNED, BOOTCONFIG_CONTENTS: 'kernel {}' }],
    [{ ...FILE, ...OWNED, HEGEL_URLS: 'http://a:7172,http://b:7172' }],
    [{ ...FILE, ...OWNED, STATIC_NETPLAN: 'true' }],
    [{ ...FILE, ...OWNED, STATIC_BOTTLEROCKET: 'true', IFNAME: 'eno1' }],
  ],
  cexec: [
    [
      {
        BLOCK_DEVICE: '/dev/sda2',
        FS_TYPE: 'ext4',
        CMD_LINE: 'echo x',
        CHROOT: 'y',
        DEFAULT_INTERPRETER: '/bin/sh -c',
        UPDATE_RESOLV_CONF: 'true',
        JSON_OUTPUT: 'false',
        JSON_OUTOUT: 'false',
      },
    ],
  ],
  archive2disk: [
    [
      {
        ...FILE,
        ARCHIVE_URL: 'http://x/y.tar.gz',
        ARCHIVE_TYPE: 'targz',
        TARFILE_CHECKSUM: `sha256:${SHA256}`,
        HTTP_CLIENT_TIMEOUT_MINUTES: '5',
        ...PROXY,
      },
    ],
    [
      {
        ...FILE,
        ARCHIVE_URL: 'http://x/y.tar',
        ARCHIVE_TYPE: 'tar',
        INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION: 'true',
      },
    ],
  ],
  oci2disk: [
    [
      {
        IMG_URL: 'registry.example.org/images/x:raw.gz',
        DEST_DISK: '/dev/sda',
        COMPRESSED: 'true',
        REGISTRY_USERNAME: 'u',
        REGISTRY_PASSWORD: 'p',
        SKIP_VERIFY: 'true',
        ...PROXY,
      },
    ],
  ],
  qemuimg2disk: [
    [
      {
        IMG_URL: 'http://x/y.qcow2',
        DEST_DISK: '/dev/sda',
        FORMAT: 'host_device',
        EXTRA_ARGS: '',
        IMG_SHA256: SHA256,
        RETRY_DURATION_MINUTES: '10',
        PROGRESS_INTERVAL_SECONDS: '3',
        ...PROXY,
      },
    ],
  ],
  rootio: [
    [{ MIRROR_HOST: '192.0.2.1', METADATA_SERVICE_PORT: '50061', MBR: 'true', TEST: '', JSON_FILE: '' }, 'partition'],
    [{ METADATA: '{"storage":{"disks":[]}}', STEP: 'wipe' }],
  ],
  kexec: [
    [
      {
        BLOCK_DEVICE: '/dev/sda2',
        FS_TYPE: 'ext4',
        KERNEL_PATH: '/boot/vmlinuz',
        INITRD_PATH: '/boot/initrd',
        CMD_LINE: 'quiet',
        GRUBCFG_PATH: 'boot/grub/grub.cfg',
      },
    ],
  ],
  reboot: [[{}]],
  users: [[{ ...USER, USERS_JSON: '[{"name":"ops"}]' }]],
  network: [[{ ...USER, FORMAT: 'netplan', DEST_PATH: '/etc/netplan/x.yaml' }]],
};

describe('the published environment', () => {
  for (const [name, cases = []] of Object.entries(PUBLISHED)) {
    it(`of ${name} is taken, and declared by the same names`, () => {
      const declaration = Object.entries<ActionDeclaration<unknown>>(catalog).find(([action]) => action === name)?.[1];
      assert.ok(declaration);

      for (const [environment, ...command] of cases) {
        declaration.parse(environment, command);
        const undeclared: readonly string[] = Object.keys(environment).filter(
          (variable) => declaration.environment[variable] === undefined,
        );
        assert.deepEqual(undeclared, []);
      }
    });
  }
});
