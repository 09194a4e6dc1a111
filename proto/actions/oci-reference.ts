import { invalidParam } from './environment.ts';

/** Where an artefact is: `registry.example:5000/path/name:tag@sha256:…`. */
export interface OciReference {
  /** `https://host[:port]`, or http for localhost and where it was asked for. */
  readonly origin: string;
  /** With `library/` in front where Docker Hub means that. */
  readonly repository: string;
  /** A tag, or a digest that the manifest is checked by. */
  readonly version: { readonly tag: string } | { readonly digest: string };
}

const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

/** As docker and oras read references, and `http://` in front for a registry without TLS. Throws `invalid_params`. */
export function parseOciReference(name: string, text: string): OciReference {
  const reference = text.trim().replace(/^oci:\/\//, '');
  const scheme = /^https?:\/\//.exec(reference)?.[0];
  const { path, tag, digest } = cut(reference.slice(scheme?.length ?? 0));
  const { host, repository } = locate(path);
  const origin = originOf(host, scheme);
  const fault = faultOf({ origin, repository, tag, digest });
  if (origin === undefined || fault !== undefined) throw invalidParam(name, text, fault ?? REGISTRY_FAULT);
  return { origin, repository, version: digest === undefined ? { tag: tag ?? 'latest' } : { digest } };
}

const REGISTRY_FAULT = 'its registry is no host name';

interface Pieces {
  /** Registry and repository. */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

/** A colon behind the last slash starts the tag; one before it belongs to the registry's port. */
function cut(reference: string): Pieces {
  const [named, digest] = splitAt(reference, reference.indexOf('@'));
  const [path, tag] = splitAt(named, named.indexOf(':', named.lastIndexOf('/') + 1));
  return { path, tag, digest };
}

function splitAt(text: string, at: number): [string, string | undefined] {
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/** Without a registry in front it is Docker Hub, whose own repositories lie below `library`. */
function locate(path: string): { readonly host: string; readonly repository: string } {
  const first = path.split('/', 1)[0] ?? '';
  const hasHost = path.includes('/') && /[.:]|^localhost$/.test(first);
  const host = hasHost ? first : 'docker.io';
  const rest = hasHost ? path.slice(first.length + 1) : path;
  if (host !== 'docker.io' && host !== 'index.docker.io') return { host, repository: rest };
  return { host: 'registry-1.docker.io', repository: rest.includes('/') ? rest : `library/${rest}` };
}

function originOf(host: string, scheme: string | undefined): string | undefined {
  const isLocal = /^(localhost|127\.\d+\.\d+\.\d+)(:|$)/.test(host);
  return URL.parse(`${scheme ?? (isLocal ? 'http://' : 'https://')}${host}`)?.origin;
}

function faultOf({
  origin,
  repository,
  tag,
  digest,
}: Omit<Pieces, 'path'> & { origin: string | undefined; repository: string }): string | undefined {
  if (origin === undefined) return REGISTRY_FAULT;
  if (!NAME.test(repository)) return 'use registry.example/path/name:tag, in lower case';
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) return 'use a tag of letters, digits, ".", "_" and "-"';
  if (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest))
    return 'a digest is sha256: and 64 hexadecimal digits';
  return undefined;
}
