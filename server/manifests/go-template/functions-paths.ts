import { posix } from 'node:path';
import { deep, type FunctionTable } from './go-function.ts';
import { fromBytes, GoMap, type GoValue, toBytes } from './go-value.ts';
import { functionFault } from './template-error.ts';

const base = deep(['string'], (given) => baseName(given.string(0)));
const dir = deep(['string'], (given) => clean(/^[^]*\//.exec(given.string(0))?.[0] ?? ''));
const cleaned = deep(['string'], (given) => clean(given.string(0)));
const ext = deep(['string'], (given) => /\.[^./]*$/.exec(given.string(0))?.[0] ?? '');
const isAbs = deep(['string'], (given) => given.string(0).startsWith('/'));

/** Sprig's functions on paths and URLs. The `os` ones are the same: machines run Linux. */
export const PATH_FUNCTIONS: FunctionTable = {
  base,
  dir,
  clean: cleaned,
  ext,
  isAbs,
  osBase: base,
  osDir: dir,
  osClean: cleaned,
  osExt: ext,
  osIsAbs: isAbs,
  urlParse: deep(['string'], (given) => parseUrl(given.string(0))),
  urlJoin: deep(['map[string]interface {}'], (given) => joinUrl(given.map(0))),
};

function clean(path: string): string {
  if (path === '') return '.';
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

function baseName(path: string): string {
  if (path === '') return '.';
  const trimmed = path.replace(/\/+$/, '');
  return trimmed === '' ? '/' : trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

/** Splits a URL into the parts that Go's net/url knows. */
function parseUrl(text: string): GoMap {
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused
  if (/[\u0000-\u001f\u007f]/.test(text)) throw functionFault('unable to parse url: invalid control character in URL');
  const [beforeFragment, fragment] = cut(text, '#');
  if (beforeFragment.startsWith(':')) throw functionFault('unable to parse url: missing protocol scheme');
  const [scheme, afterScheme] = cutScheme(beforeFragment);
  const [rest, query] = cut(afterScheme, '?');
  if (scheme === '' && /^[^/]*:/.test(rest)) {
    throw functionFault('unable to parse url: first path segment in URL cannot contain colon');
  }
  const isOpaque = scheme !== '' && !rest.startsWith('/');
  const authority = isOpaque ? undefined : /^\/\/([^/]*)/.exec(rest)?.[1];
  const path = isOpaque ? '' : rest.slice(authority === undefined ? 0 : authority.length + 2);
  return new GoMap([
    ['scheme', scheme.toLowerCase()],
    ...authorityParts(authority ?? ''),
    ['path', decodePercents(path)],
    ['query', query],
    ['opaque', isOpaque ? rest : ''],
    ['fragment', decodePercents(fragment)],
  ]);
}

function cutScheme(text: string): [string, string] {
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(text)?.[1];
  return scheme === undefined ? ['', text] : [scheme, text.slice(scheme.length + 1)];
}

function authorityParts(authority: string): [string, string][] {
  const at = authority.lastIndexOf('@');
  const host = authority.slice(at + 1);
  return [
    ['host', decodePercents(host)],
    ['hostname', decodePercents(host.replace(/:[0-9]*$/, '').replace(/^\[(.*)\]$/, '$1'))],
    ['userinfo', at < 0 ? '' : userInfo(authority.slice(0, at))],
  ];
}

function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

function userInfo(text: string): string {
  const [name, password] = cut(text, ':');
  return encodeUser(name) + (text.includes(':') ? `:${encodeUser(password)}` : '');
}

function encodeUser(part: string): string {
  return encodePercents(decodePercents(part), /[A-Za-z0-9\-_.~$&+,;=]/);
}

function decodePercents(text: string): string {
  const bad = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(text);
  if (bad !== null) throw functionFault(`unable to parse url: invalid URL escape "${bad[0]}"`);
  const bytes: number[] = [];
  for (const part of text.match(/%[0-9a-fA-F]{2}|[^%]+/g) ?? []) {
    if (part.startsWith('%')) bytes.push(Number.parseInt(part.slice(1), 16));
    else bytes.push(...toBytes(part));
  }
  return fromBytes(Uint8Array.from(bytes));
}

function encodePercents(text: string, allowed: RegExp): string {
  return Array.from(toBytes(text), (byte) => {
    const character = String.fromCharCode(byte);
    return byte < 0x80 && allowed.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

function joinUrl(parts: GoMap): string {
  const part = (name: string): string => stringPart(name, parts.entries.get(name));
  const scheme = part('scheme') === '' ? '' : `${part('scheme')}:`;
  const place = part('opaque') === '' ? joinPlace(part, scheme !== '') : part('opaque');
  const query = part('query') === '' ? '' : `?${part('query')}`;
  const fragment = encodePercents(part('fragment'), /[A-Za-z0-9\-_.~!()*$&+,/:;=?@]/);
  return scheme + place + query + (fragment === '' ? '' : `#${fragment}`);
}

/** `//user@host/path` */
function joinPlace(part: (name: string) => string, hasScheme: boolean): string {
  const [userinfo, host, path] = [part('userinfo'), part('host'), part('path')];
  const isAbsolute = host !== '' || userinfo !== '' || (hasScheme && path !== '');
  const user = userinfo === '' ? '' : `${userInfo(userinfo)}@`;
  const separator = path !== '' && !path.startsWith('/') && host !== '' ? '/' : '';
  const authority = isAbsolute ? `//${user}${encodePercents(host, /[A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"]/)}` : '';
  return authority + separator + encodePercents(path, /[A-Za-z0-9\-_.~$&+,/:;=@]/);
}

function stringPart(name: string, value: GoValue): string {
  if (value === undefined) return '';
  if (typeof value !== 'string') throw functionFault(`unable to parse ${name} key, must be of type string`);
  return value;
}
