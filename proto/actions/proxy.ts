import { TinsmithError } from '../errors.ts';
import { faultOfHttpUrl } from '../http-url.ts';
import { type Environment, invalidParam, optionalText } from './environment.ts';

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
  const either = (name: string): string | undefined =>
    optionalText(environment, name.toLowerCase()) ?? optionalText(environment, name);
  const http = either('HTTP_PROXY');
  const https = either('HTTPS_PROXY');
  const except = either('NO_PROXY');
  return {
    ...(http === undefined ? {} : { http: parseProxyUrl('HTTP_PROXY', http) }),
    ...(https === undefined ? {} : { https: parseProxyUrl('HTTPS_PROXY', https) }),
    ...(except === undefined ? {} : { except }),
  };
}

function parseProxyUrl(name: string, text: string): string {
  const whole = text.includes('://') ? text : `http://${text}`;
  const fault = faultOfHttpUrl(whole);
  if (fault !== undefined) throw new TinsmithError('invalid_params', `${name} ${fault}`);
  const url = URL.parse(whole);
  if (url !== null && url.protocol === 'http:' && url.hostname !== '') return url.href;
  // The value may hold a password, so it is not repeated.
  throw invalidParam(name, undefined, 'use http://host:port (the proxy itself is spoken to in plain HTTP)');
}
