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
  if (/[\u0000-\u001f\u007f]/.test(text)) throw functionFault('unable to parse url: invalid control character in URL');
  const [, beforeFragment = '', fragment = ''] = /^([^#]*)#?([^]*)$/.exec(text) ?? [];
  const [, scheme = '', afterScheme = ''] = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?([^]*)$/.exec(beforeFragment) ?? [];
  if (afterScheme.startsWith(':')) throw functionFault('unable to parse url: missing protocol scheme');
  const [, rest = '', query = ''] = /^([^?]*)\??([^]*)$/.exec(afterScheme) ?? [];
  const isOpaque = scheme !== '' && !rest.startsWith('/');
  const [, authority = '', path = ''] = /^(?:\/\/([^/]*))?([^]*)$/.exec(isOpaque ? '' : rest) ?? [];
  const at = authority.lastIndexOf('@');
  const host = authority.slice(at + 1);
  return new GoMap([
    ['scheme', scheme.toLowerCase()],
    ['host', decodePercents(host)],
    ['hostname', decodePercents(host.replace(/:[0-9]*$/, '').replace(/^\[(.*)\]$/, '$1'))],
    ['path', decodePercents(path)],
    ['query', query],
    ['opaque', isOpaque ? rest : ''],
    ['fragment', decodePercents(fragment)],
    ['userinfo', at < 0 ? '' : userInfo(authority.slice(0, at))],
  ]);
}

function userInfo(text: string): string {
  const [, name = '', separator = '', password = ''] = /^([^:]*)(:?)([^]*)$/.exec(text) ?? [];
  return (
    encodePercents(decodePercents(name), /[A-Za-z0-9\-_.~$&+,;=]/) +
    separator +
    encodePercents(decodePercents(password), /[A-Za-z0-9\-_.~$&+,;=]/)
  );
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
  const [scheme, opaque, userinfo, host, path] = [
    part('scheme'),
    part('opaque'),
    part('userinfo'),
    part('host'),
    part('path'),
  ];
  let text = scheme === '' ? '' : `${scheme}:`;
  if (opaque !== '') text += opaque;
  else {
    if (scheme !== '' || host !== '' || userinfo !== '') {
      if (host !== '' || path !== '' || userinfo !== '') text += '//';
      if (userinfo !== '') text += `${userInfo(userinfo)}@`;
      text += encodePercents(host, /[A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"]/);
    }
    if (path !== '' && !path.startsWith('/') && host !== '') text += '/';
    text += encodePercents(path, /[A-Za-z0-9\-_.~$&+,/:;=@]/);
  }
  if (part('query') !== '') text += `?${part('query')}`;
  if (part('fragment') !== '') text += `#${encodePercents(part('fragment'), /[A-Za-z0-9\-_.~!()*$&+,/:;=?@]/)}`;
  return text;
}

function stringPart(name: string, value: GoValue): string {
  if (value === undefined) return '';
  if (typeof value !== 'string') throw functionFault(`unable to parse ${name} key, must be of type string`);
  return value;
}
