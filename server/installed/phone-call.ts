import { withoutUrlSecrets } from '#proto/url-secrets.ts';

/** What an installed system says when it calls home. */
export type PhoneCall =
  | { readonly status: 'ready' }
  | { readonly status: 'failed'; readonly detail: string }
  | { readonly status: 'unknown'; readonly text: string };

const LONGEST_DETAIL = 500;

/**
 * cloud-init's phone_home sends a form (instance_id, hostname, pub_key_…) and no status: it calls when all is done. Scripts may
 * add `status` (ready or failed) and `detail`, in the query, the form or a JSON object. Whatever else a body holds is dropped.
 */
export function phoneCall(query: URLSearchParams, body: string, contentType: string): PhoneCall {
  const said = contentType.includes('json') ? jsonFields(body) : new URLSearchParams(body);
  const status = (query.get('status') ?? said.get('status') ?? 'ready').trim().toLowerCase();
  if (status === 'ready') return { status };
  if (status === 'failed') return { status, detail: oneLine(query.get('detail') ?? said.get('detail') ?? '') };
  return { status: 'unknown', text: oneLine(status) };
}

function jsonFields(body: string): Map<string, string> {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== 'object' || parsed === null) return new Map();
    return new Map(
      Object.entries(parsed).flatMap(([key, value]) => (typeof value === 'string' ? [[key, value] as const] : [])),
    );
  } catch {
    // That it calls is what counts: a body that cannot be read is one without a status.
    return new Map();
  }
}

/** It is shown to people and kept in the event log. */
function oneLine(text: string): string {
  const plain = withoutUrlSecrets(text)
    .replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim();
  return plain === '' ? 'it gives no reason' : plain.slice(0, LONGEST_DETAIL);
}
