import { faultOfHttpUrl } from '../http-url.ts';
import { type Environment, InvalidParamError, optionalText } from './environment.ts';

/** As curl and Go read them: `http://host:port`, and a comma list of hosts, domains, addresses, CIDR blocks or `*`. */
export interface ProxyParams {
  readonly http?: string;
  readonly https?: string;
  readonly except?: string;
}

/** The same proxy for both kinds of URL; undefined: none. */
export function oneProxy(url: string | undefined): ProxyParams {
  return url === undefined ? {} : { http: url, https: url };
}

/** What a declaration says of the variables that `parseProxy` reads. */
export const PROXY_ENVIRONMENT = {
  HTTP_PROXY: 'Proxy for http URLs.',
  HTTPS_PROXY: 'Proxy for https URLs.',
  NO_PROXY: 'Hosts, domains, addresses and CIDR blocks that need no proxy.',
};

/** A proxy's URL may hold a password. */
export const PROXY_SECRETS: readonly string[] = ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy'];

/** Both spellings, as every program with proxies reads them; the lower-case one wins, as in curl and Go. */
export function parseProxy(environment: Environment): ProxyParams {
  const url = (upper: string): string | undefined => {
    const name = optionalText(environment, upper.toLowerCase()) === undefined ? upper : upper.toLowerCase();
    const text = optionalText(environment, name);
    return text === undefined ? undefined : parseProxyUrl(name, text);
  };
  const http = url('HTTP_PROXY');
  const https = url('HTTPS_PROXY');
  const except = optionalText(environment, 'no_proxy') ?? optionalText(environment, 'NO_PROXY');
  return {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    ...(except === undefined ? {} : { except }),
  };
}

/** The URL of a proxy, `http://` in front or not. `name`: what it was given as. Throws `invalid_params` that repeats nothing of a password. */
export function parseProxyUrl(name: string, text: string): string {
  const whole = text.includes('://') ? text : `http://${text}`;
  const fault = faultOfHttpUrl(whole);
  if (fault !== undefined) throw new InvalidParamError(name, `${name} ${fault}`);
  const url = URL.parse(whole);
  if (url !== null && url.protocol === 'http:' && url.hostname !== '') return url.href;
  const kind = /^(https|socks\w?|ftp):$/.exec(url?.protocol ?? '')?.[1];
  const fact = kind === undefined ? 'no URL of a proxy' : `${kind === 'https' ? 'an' : 'a'} ${kind} URL`;
  const fix = 'use http://host:port (the proxy itself is spoken to in plain HTTP)';
  throw new InvalidParamError(name, `${name} is ${fact}: ${fix}`);
}
