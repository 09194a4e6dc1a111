import { faultOfHttpUrl } from '#proto/http-url.ts';

/** Says what is wrong with the address of a file or folder on a web server, and the fix. */
export function faultOfUrl(url: string): string | undefined {
  const fault = faultOfHttpUrl(url);
  if (fault !== undefined) return fault;
  const isUrl = /^https?:\/\/[^\s]+$/.test(url) && URL.canParse(url);
  return isUrl ? undefined : 'is not a URL: write it like http://10.0.0.1/images/ubuntu-1-30.raw.gz';
}

/** An image is also one of the server's own library: `library:ubuntu-1-30`. */
export function faultOfImageUrl(url: string): string | undefined {
  if (/^library:[a-z0-9][a-z0-9._-]*$/.test(url)) return undefined;
  const fault = faultOfUrl(url);
  return fault?.startsWith('is not a URL') !== true
    ? fault
    : `${fault}, or name an image of the library, like library:ubuntu-1-30`;
}
