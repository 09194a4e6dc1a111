import { shownUrl } from '#proto/url-secrets.ts';
import type { HttpResponse } from './http-response.ts';

/** That a server did not give a file, with the server where it was sent to, and what can be done. `hasLogin`: a registry's, not the URL's. */
export function statusFact(url: URL, response: HttpResponse, hasLogin = false): string {
  const fix = fixFor(url, response, hasLogin);
  return `${answeredFact(response)}${fix === undefined ? '' : `: ${fix}`}`;
}

/** As `statusFact`, where somebody else knows what can be done. */
export function answeredFact({ status, redirectedTo }: HttpResponse): string {
  const from = redirectedTo === undefined ? '' : `it redirects to ${shownUrl(redirectedTo)}: `;
  return `${from}the server answered ${status}`;
}

/** RFC 9110 15.5. Undefined: nobody knows. */
function fixFor(url: URL, { status, redirectedTo }: HttpResponse, hasLogin: boolean): string | undefined {
  if (status === 404 || status === 410) return 'correct the URL';
  if (status !== 401 && status !== 403) return undefined;
  if (hasLogin) return 'set REGISTRY_USERNAME and REGISTRY_PASSWORD';
  // They are for the URL's own server (RFC 9110 15.4).
  if (url.username !== '' && redirectedTo !== undefined && redirectedTo.origin !== url.origin) {
    return 'user and password are not sent to another server: use the URL that it redirects to';
  }
  if (url.username !== '') return 'correct the user and password in the URL';
  return status === 401
    ? 'write user and password into the URL, http://USER:PASSWORD@host/…'
    : 'allow it there, write user and password into the URL, or use a presigned URL that has not ended';
}
