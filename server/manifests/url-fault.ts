/** Says what is wrong with the address of a file or folder on a web server, and the fix. */
export function faultOfUrl(url: string): string | undefined {
  const isUrl = /^https?:\/\/[^\s]+$/.test(url) && URL.canParse(url);
  return isUrl ? undefined : 'is not a URL: write it like http://10.0.0.1/images/ubuntu-1-30.raw.gz';
}
