import { type OciReference, parseOciReference } from '#proto/actions/oci-reference.ts';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { chooseLayer, manifestFor } from '#transfer/oci/choose-layer.ts';
import { RegistryClient } from '#transfer/oci/registry-client.ts';
import { openRemoteFile, type SourceContact } from './remote-file.ts';
import type { SourceFile } from './source-file.ts';

export interface OciOptions {
  readonly credentials?: RegistryCredentials;
  /** Of the machines, where the reference names an image for several. */
  readonly architecture: 'amd64' | 'arm64';
  readonly proxy: ProxyParams;
  readonly signal: AbortSignal;
  readonly contact?: SourceContact;
}

/** Never stored, never shown. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
}

/** The layer that holds the image, and the digest that the manifest gives it. */
export interface OciFile {
  readonly file: SourceFile;
  /** Lower-case hex. */
  readonly sha256: string;
  /** The reference names the digest of the manifest: the registry has no say in what the image is. */
  readonly isPinned: boolean;
}

/** `oci://registry/path:tag`, `oci+http://` without TLS, or the same without a scheme where a registry's host is in front. */
export function isOciSource(source: string): boolean {
  return /^oci(\+http)?:\/\//.test(source) || /^([^/@]*[.:][^/@]*|localhost)\/[^/]/.test(source);
}

/**
 * Asks a registry for the manifest and the layer in it that is the image. Throws `invalid_input`, `unsupported` or `download_failed`.
 */
export async function openOciFile(source: string, options: OciOptions): Promise<OciFile> {
  const { architecture, contact = {}, ...access } = options;
  const { endsUnreached = false, trouble = () => undefined } = contact;
  const image = parse(source);
  const registry = new RegistryClient({ ...access, image, skipVerify: false, endsUnreached, log: trouble });
  const first = await registry.manifest('tag' in image.version ? image.version.tag : image.version.digest);
  const digest = manifestFor(first, architecture);
  const layer = chooseLayer(digest === undefined ? first : await registry.manifest(digest));
  const file = await openRemoteFile({
    url: new URL(registry.blobUrl(layer.digest)),
    shown: source,
    proxy: options.proxy,
    signal: options.signal,
    hasChecksum: true,
    access: registry,
    contact,
  });
  return { file, sha256: layer.digest.slice('sha256:'.length), isPinned: !('tag' in image.version) };
}

function parse(source: string): OciReference {
  // What is in front of another @ is a password that somebody wrote there: it is not repeated.
  if (/@(?!sha256:)/.test(source)) {
    const fix = 'name the user with --username and give the password to --password-stdin';
    throw new TinsmithError('invalid_input', `an OCI reference holds no user and no password: ${fix}`);
  }
  try {
    return parseOciReference('SOURCE', source.replace(/^oci\+http:\/\//, 'http://'));
  } catch (thrown) {
    throw thrown instanceof TinsmithError
      ? new TinsmithError('invalid_input', thrown.message, { cause: thrown })
      : thrown;
  }
}
