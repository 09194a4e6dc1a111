import { request as httpRequest } from 'node:http';
import { BlockList, isIP, Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';
import { faultOfHttpUrl } from '#proto/http-url.ts';
import { shownUrl, withoutUrlSecrets } from '#proto/url-secrets.ts';
import { RedirectedError } from './contact-errors.ts';
import { FinalDownloadError, finalFailure, passingFailure } from './download-errors.ts';
import { HttpResponse } from './http-response.ts';
import type { KeptConnections } from './kept-connections.ts';
import { pause } from './pause.ts';
import { ConnectionReader, type SocketReader, streamReader } from './socket-reader.ts';
import { type TurnInLine, turnInLine } from './turn-in-line.ts';

/** How a URL is asked for. */
export interface GetOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly proxy: ProxyParams;
  /** For the connection and the answer's head; not for its body. */
  readonly answerMs: number;
  readonly signal: AbortSignal;
  /** Sent to the URL's own origin only, not to where it redirects. */
  readonly authorization?: string;
  /** Whether any TLS certificate will do. */
  readonly skipVerify?: boolean;
  /** Told each time that the server serves others first, and how long it held the request; then it is asked again. Absent: its 503 is the answer. */
  readonly inLine?: (turn: TurnInLine, heldMs: number) => void;
  /** How many are followed; default 10. */
  readonly redirects?: number;
  /** What plain HTTP receives into, RECEIVE_BYTES: nobody else's until the response is destroyed. Default: its own. */
  readonly memory?: Buffer;
  /** Where connections come from and go to. Default: one of its own for every request. */
  readonly kept?: KeptConnections;
}

const REDIRECTS = 10;

/** One GET with redirects followed. Resolves with the head of the final answer; the caller reads or destroys the body. */
export async function httpGet(url: URL, options: GetOptions): Promise<HttpResponse> {
  for (;;) {
    const askedAt = performance.now();
    const response = await getWithRedirects(url, options);
    const turn = options.inLine === undefined ? undefined : turnInLine(response);
    if (turn === undefined) return response;
    response.destroy();
    options.inLine?.(turn, performance.now() - askedAt);
    await pause(turn.afterMs, options.signal);
  }
}

async function getWithRedirects(url: URL, options: GetOptions): Promise<HttpResponse> {
  const { redirects = REDIRECTS } = options;
  let target = url;
  for (let hops = 0; hops <= redirects; hops++) {
    const access = target.origin === url.origin ? options : withoutAuthorization(options);
    const response = await requestOnce(target, access).catch((thrown: unknown) => {
      if (thrown instanceof FinalDownloadError) throw thrown;
      throw hops === 0 || options.signal.aborted ? thrown : new RedirectedError(shownUrl(target), thrown);
    });
    const location = response.headers.get('location');
    if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) {
      if (hops > 0) response.redirectedTo = target;
      return response;
    }
    response.destroy();
    const next = URL.parse(location, target.href);
    if (next === null || !['http:', 'https:'].includes(next.protocol)) {
      throw finalFailure(target, `it redirects to ${JSON.stringify(withoutUrlSecrets(location))}`);
    }
    if (target.protocol === 'https:' && next.protocol === 'http:') {
      throw finalFailure(
        target,
        `it redirects from https to plain ${shownUrl(next)}, which anybody could read and change`,
      );
    }
    target = next;
  }
  throw finalFailure(url, `more than ${redirects} redirects`);
}

function withoutAuthorization({ authorization: _kept, ...options }: GetOptions): GetOptions {
  return options;
}

async function requestOnce(url: URL, options: GetOptions): Promise<HttpResponse> {
  const deadline = AbortSignal.timeout(options.answerMs);
  const signal = AbortSignal.any([options.signal, deadline]);
  const proxy = proxyFor(url, options.proxy);
  const server = `${url.origin} ${proxy?.origin ?? ''}`;
  const kept = options.kept?.take(server);
  const call = { url, proxy, server, options, signal };
  if (kept !== undefined) {
    try {
      return await ask(kept, call);
    } catch {
      // Most likely the server ended it before our request came. A new one will say whether something else is wrong.
      if (signal.aborted) throw abortReason(options.signal, url, options.answerMs);
    }
  }
  return ask(await open(url, proxy, { ...options, signal }), call);
}

interface Call {
  readonly url: URL;
  readonly proxy: URL | undefined;
  /** By which its connection is kept. */
  readonly server: string;
  readonly options: GetOptions;
  readonly signal: AbortSignal;
}

async function ask(reader: SocketReader, { url, proxy, server, options, signal }: Call): Promise<HttpResponse> {
  const onAbort = (): void => {
    reader.socket.destroy(abortReason(options.signal, url, options.answerMs));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  const { authorization: value, kept } = options;
  const headers = {
    ...options.headers,
    ...(value === undefined ? {} : { authorization: value }),
    connection: kept === undefined ? 'close' : 'keep-alive',
  };
  try {
    if (signal.aborted) onAbort();
    reader.socket.write(requestHead(url, proxy, headers));
    return await HttpResponse.read(reader, kept === undefined ? undefined : () => kept.keep(server, reader));
  } catch (thrown) {
    const { socket } = reader;
    // A server of plain HTTP may just leave. The property is documented, and in no type.
    const isUnagreed = Reflect.get(socket, 'secureConnecting') === true && !signal.aborted;
    socket.destroy();
    throw isUnagreed && systemCodeOf(thrown) === 'unavailable'
      ? passingFailure('it closed the connection before TLS was agreed on: use http:// if it speaks no TLS')
      : thrown;
  } finally {
    // From here on the caller watches over the body.
    signal.removeEventListener('abort', onAbort);
  }
}

function abortReason(signal: AbortSignal, url: URL, answerMs: number): Error {
  if (signal.aborted && signal.reason instanceof Error) return signal.reason;
  return new TinsmithError('timed_out', `${url.host} did not answer within ${answerMs / 1000} s`);
}

/** A connection of its own for every request: an image is one request, and nothing of it can be mixed up with another. */
async function open(
  url: URL,
  proxy: URL | undefined,
  { signal, skipVerify, memory }: GetOptions,
): Promise<SocketReader> {
  if (url.protocol === 'http:') {
    const to = proxy ?? url;
    return new ConnectionReader({ host: hostOf(to), port: portOf(to) }, memory);
  }
  const host = hostOf(url);
  const name = isIP(host) === 0 ? { servername: host } : {};
  const trust = skipVerify === true ? { rejectUnauthorized: false } : {};
  const socket =
    proxy === undefined
      ? undefined
      : await openTunnel(url, proxy, { ...authorization('proxy-authorization', proxy), signal });
  return streamReader(
    tlsConnect({ ...(socket === undefined ? { host, port: portOf(url) } : { socket }), ...name, ...trust }),
  );
}

/** To a proxy for plain HTTP the whole URL is named (RFC 9112 3.2.2). */
function requestHead(url: URL, proxy: URL | undefined, headers: Readonly<Record<string, string>>): string {
  const isAbsolute = proxy !== undefined && url.protocol === 'http:';
  const target = `${isAbsolute ? url.origin : ''}${url.pathname}${url.search}`;
  const all = {
    host: url.host,
    ...headers,
    ...authorization('authorization', url),
    ...(isAbsolute ? authorization('proxy-authorization', proxy) : {}),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return `${[`GET ${target} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`;
}

/** HTTP CONNECT (RFC 9110 9.3.6). */
async function openTunnel(
  url: URL,
  proxy: URL,
  { signal, ...headers }: { signal: AbortSignal } & Readonly<Record<string, unknown>>,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const target = `${url.hostname}:${url.port === '' ? 443 : url.port}`;
  const request = httpRequest(proxy, {
    method: 'CONNECT',
    path: target,
    headers: { ...headers, host: target },
    signal,
  });
  request.once('connect', (response, socket, head) => {
    if (response.statusCode === 200 && head.length === 0 && socket instanceof Socket) {
      resolve(socket);
    } else {
      socket.destroy();
      reject(
        new TinsmithError('download_failed', `the proxy ${proxy.host} answered ${response.statusCode} to ${target}`),
      );
    }
  });
  request.once('error', reject);
  request.end();
  return promise;
}

function authorization(name: string, url: URL): Record<string, string> {
  if (url.username === '') return {};
  const fault = faultOfHttpUrl(url.href);
  if (fault !== undefined) throw finalFailure(url, `the URL ${fault}`);
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { [name]: `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** The proxy for a URL, or undefined. Loopback is never proxied, as in Go and curl. */
export function proxyFor(url: URL, { http, https, except }: ProxyParams): URL | undefined {
  const proxy = url.protocol === 'https:' ? https : http;
  if (proxy === undefined) return undefined;
  const host = hostOf(url);
  if (host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)) return undefined;
  const rules = (except ?? '').split(',').map((rule) => rule.trim().toLowerCase());
  return rules.some((rule) => rule !== '' && isExcepted(host, url, rule)) ? undefined : new URL(proxy);
}

function isExcepted(host: string, url: URL, rule: string): boolean {
  if (rule === '*') return true;
  if (rule.includes('/')) return isInBlock(host, rule);
  const [, name = rule, port] = /^(\[.*\]|[^:]*):(\d+)$/.exec(rule) ?? [];
  if (port !== undefined && port !== (url.port === '' ? { 'http:': '80', 'https:': '443' }[url.protocol] : url.port)) {
    return false;
  }
  const domain = name.replace(/^\[|\]$/g, '').replace(/^\*?\./, '');
  return host === domain || (isIP(host) === 0 && host.endsWith(`.${domain}`));
}

function isInBlock(host: string, rule: string): boolean {
  const [network = '', bits = ''] = rule.split('/');
  const family = isIP(network) === 6 ? 'ipv6' : 'ipv4';
  if (isIP(network) === 0 || isIP(host) !== isIP(network) || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 'ipv6' ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(bits), family);
  return list.check(host, family);
}

function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
}
