import 'reflect-metadata'; // @peculiar/x509 needs it before its own first line
import { randomBytes, webcrypto } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import * as x509 from '@peculiar/x509';
import type { KeyPair } from '#server/cluster/bootstrap/cluster-pki.ts';

export interface FakeRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string | undefined;
  readonly body: ReturnType<typeof JSON.parse>;
  /** Common name and organization of the client's certificate. */
  readonly client: { readonly CN?: unknown; readonly O?: unknown };
}

export interface FakeServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly requests: FakeRequest[];
}

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** An HTTPS server on 127.0.0.1 that talks to clients of one authority only, and answers as it is told. */
export async function fakeServer(options: {
  /** Its own certificate is from this one. */
  readonly authority: KeyPair;
  /** Its clients' are from this one. */
  readonly clientAuthority: KeyPair;
  readonly answer: (request: FakeRequest) => { readonly status?: number; readonly body?: object } | 'silence';
}): Promise<FakeServer> {
  const { certificate, key } = await issueServing(options.authority);
  const requests: FakeRequest[] = [];
  const tls = {
    cert: certificate,
    key,
    ca: options.clientAuthority.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  };
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = await read(request);
    requests.push(asked);
    const answer = options.answer(asked);
    if (answer === 'silence') return;
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer.body ?? {}));
  };
  const server = createServer(tls, (request, response) => void respond(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a server that listens on TCP has one
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    requests,
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections();
      return new Promise((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

async function read(request: IncomingMessage): Promise<FakeRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const url = new URL(request.url ?? '/', 'https://fake');
  const { subject } = (request.socket as TLSSocket).getPeerCertificate(); // it is a server over TLS
  return {
    method: request.method ?? '',
    path: url.pathname,
    query: url.searchParams,
    contentType: request.headers['content-type'],
    body: text === '' ? undefined : JSON.parse(text),
    client: subject,
  };
}

async function issueServing(authority: KeyPair): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const pkcs8 = x509.PemConverter.decodeFirst(authority.key);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, CURVE, false, ['sign']);
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `41${randomBytes(8).toString('hex')}`,
    subject: 'CN=kube-apiserver',
    issuer: issuer.subject,
    notBefore: issuer.notBefore,
    notAfter: issuer.notAfter,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: SIGNATURE,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
  });
  const exported = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { certificate: certificate.toString('pem'), key: x509.PemConverter.encode(exported, 'PRIVATE KEY') };
}
