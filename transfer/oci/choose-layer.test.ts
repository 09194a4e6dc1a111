import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseLayer, manifestFor } from './choose-layer.ts';

const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;

interface Platform {
  readonly os: string;
  readonly architecture: string;
}

function index(...platforms: readonly (Platform | undefined)[]): unknown {
  return {
    manifests: platforms.map((platform, at) => ({ digest: digest(String(at)), ...(platform && { platform }) })),
  };
}

const AMD64 = { os: 'linux', architecture: 'amd64' };
const ARM64 = { os: 'linux', architecture: 'arm64' };
const UNKNOWN = { os: 'unknown', architecture: 'unknown' };
const ATTESTATION = {
  digest: digest('a'),
  platform: UNKNOWN,
  annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
};

describe('manifestFor', () => {
  it('takes the entry of the architecture, and nothing out of a manifest', () => {
    assert.equal(manifestFor(index(ARM64, AMD64), 'amd64'), digest('1'));
    assert.equal(manifestFor({ layers: [] }, 'amd64'), undefined);
  });

  it('refuses an index whose only entry is of another platform', () => {
    for (const [entry, name] of [
      [ARM64, 'linux/arm64'],
      [{ os: 'windows', architecture: 'amd64' }, 'windows/amd64'],
    ] as const) {
      assert.throws(() => manifestFor(index(entry), 'amd64'), {
        code: 'unsupported',
        message: `the index holds nothing for linux/amd64, only ${name}`,
      });
    }
  });

  it('takes the only entry when it names no platform', () => {
    assert.equal(manifestFor(index(undefined), 'arm64'), digest('0'));
    assert.equal(manifestFor(index(UNKNOWN), 'arm64'), digest('0'));
  });

  it('never takes an attestation for an image, nor names it', () => {
    const beside = (platform: Platform | undefined): unknown => ({
      manifests: [{ digest: digest('0'), ...(platform && { platform }) }, ATTESTATION],
    });

    assert.equal(manifestFor(beside(undefined), 'amd64'), digest('0'));
    assert.throws(() => manifestFor(beside(ARM64), 'amd64'), { message: /, only linux\/arm64$/ });
    assert.throws(() => manifestFor({ manifests: [ATTESTATION] }, 'amd64'), { message: /, only nothing$/ });
  });
});

/** By title, media type in brackets: `disk.raw`, `[application/x-qemu-disk]`. Each is larger than the one before. */
function chosen(...layers: readonly string[]): string | undefined {
  const { digest: found } = chooseLayer({
    layers: layers.map((written, at) => {
      const [, title = '', mediaType] = /^([^[]*)(?:\[(.*)\])?$/.exec(written) ?? [];
      return {
        digest: digest(String(at)),
        size: 1000 + at,
        ...(mediaType !== undefined && { mediaType }),
        ...(title !== '' && { annotations: { 'org.opencontainers.image.title': title } }),
      };
    }),
  });
  return layers.find((_, at) => digest(String(at)) === found);
}

describe('chooseLayer', () => {
  it('takes the disk image beside a kernel, an initrd, sums and a bill of materials', () => {
    assert.equal(chosen('disk.raw.gz', 'vmlinuz', 'initrd.img', 'SHA256SUMS', 'disk.raw.gz.sha256'), 'disk.raw.gz');
    assert.equal(chosen('disk.gz', 'initramfs.gz', 'sbom.spdx.json.gz'), 'disk.gz');
    assert.equal(chosen('os_image.raw.zst', 'os_pxe.vmlinuz', 'os_pxe_image.cpio.gz'), 'os_image.raw.zst');
    assert.equal(chosen('disk.qcow2', 'kernel.img', 'README.md'), 'disk.qcow2');
  });

  it('takes the raw one of an image that is there in several formats', () => {
    assert.equal(chosen('disk.raw.gz', 'disk.qcow2', 'disk.vmdk'), 'disk.raw.gz');
  });

  it('takes the only file with a title, and the largest layer where none is known for an image', () => {
    assert.equal(chosen('disk', ''), 'disk');
    assert.equal(chosen('', '[application/vnd.oci.image.layer.v1.tar]'), '[application/vnd.oci.image.layer.v1.tar]');
  });

  it('knows a disk image by its media type', () => {
    assert.equal(
      chosen('[application/x-qemu-disk]', '[application/vnd.oci.image.layer.v1.tar]'),
      '[application/x-qemu-disk]',
    );
  });

  it('refuses several disk images, names them and says what to do', () => {
    assert.throws(() => chosen('root.raw.gz', 'data.raw.gz', 'README.md'), {
      code: 'unsupported',
      message:
        'cannot tell which layer is the image, root.raw.gz or data.raw.gz: push the one that is meant as an artefact of its own',
    });
    for (const layers of [
      ['root.gz', 'data.xz'],
      ['root.qcow2', 'data.vmdk'],
      ['root.img', 'data[application/vnd.example.raw-disk]'],
    ]) {
      assert.throws(() => chosen(...layers), { code: 'unsupported', message: /root.* or data/ }, layers.join(' '));
    }
  });
});
