/**
 * Says what is wrong with an OCI image reference (`[host[:port]/]path[:tag][@digest]`), and the fix.
 * The grammar is that of the distribution specification's reference; the sizes bound the work on hostile input.
 */
export function faultOfImageReference(reference: string): string | undefined {
  if (reference === '') return 'is empty: write an image reference, for example image2disk:latest';
  if (reference.length > 512) return 'is longer than 512 characters: shorten it';
  const { path, tag, digest } = splitReference(reference);
  if (digest !== undefined && !/^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]{32,128}$/.test(digest)) {
    return 'has a digest that is none: write it like @sha256: and 64 hex digits';
  }
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) {
    return 'has a tag that is none: use letters, digits, "_", "." and "-"';
  }
  return faultOfPath(path);
}

function faultOfPath(path: string): string | undefined {
  const parts = path.split('/');
  const [first = ''] = parts;
  const hasHost = parts.length > 1 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  if (hasHost && !/^[\w-]+(?:\.[\w-]+)*(?::\d{1,5})?$/.test(first))
    return 'has a registry host that is none: correct it';
  const names = hasHost ? parts.slice(1) : parts;
  if (names.every((name) => /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/.test(name))) return undefined;
  return 'is not an image reference: use lower-case names, like registry.example/path/image2disk:latest';
}

function splitReference(reference: string): { path: string; tag?: string; digest?: string } {
  const at = reference.indexOf('@');
  const digest = at < 0 ? undefined : reference.slice(at + 1);
  const tagged = at < 0 ? reference : reference.slice(0, at);
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : tagged.slice(colon + 1);
  const path = colon < 0 ? tagged : tagged.slice(0, colon);
  return { path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}
