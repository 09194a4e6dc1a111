/** Ways to answer badly. */
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { openCertificateAuthority } from '#server/enroll/certificate-authority.ts';
import { type Asked, type Fault, type HeadChanges, head } from './faulty-server.ts';

/** Sends what lies before byte `at` and breaks the connection, every time. */
export function cutAt(at: number): Fault {
  return (asked) => cutAfter(Math.max(0, at - asked.from))(asked);
}

/** Sends `bytes` of what was asked for and breaks the connection. */
export function cutAfter(bytes: number, changes: HeadChanges = {}): Fault {
  return (asked) => {
    const { response, file, from, end } = asked;
    head(asked, changes);
    response.write(file.subarray(from, Math.min(end, from + bytes)), () => response.destroy());
  };
}

/** Ends it by RST instead of FIN. */
export function resetAfter(bytes: number): Fault {
  return (asked) => {
    const { response, file, from, end } = asked;
    head(asked);
    response.write(file.subarray(from, Math.min(end, from + bytes)), () => asked.request.socket.resetAndDestroy());
  };
}

export function status(code: number, headers: Record<string, string> = {}): Fault {
  return ({ response }) => void response.writeHead(code, headers).end('no');
}

/** Only what is asked first. */
export function first(fault: Fault, times = 1): Fault {
  return (asked) => (asked.earlier < times ? fault(asked) : false);
}

/** The second for all that is asked after the first. */
export function firstThen(fault: Fault, rest: Fault): Fault {
  return (asked) => (asked.earlier === 0 ? fault(asked) : rest(asked));
}

/** As a good server, but of another file. */
export function fileInstead(file: Buffer, changes: HeadChanges = {}): Fault {
  return (asked) => {
    const part = {
      ...asked,
      file,
      end: Math.min(file.length, asked.end === asked.file.length ? file.length : asked.end),
    };
    if (part.from >= part.end) return void asked.response.writeHead(416).end();
    head(part, changes);
    asked.response.end(file.subarray(part.from, part.end));
  };
}

/** The right part with another head. */
export function headInstead(changes: (asked: Asked) => HeadChanges): Fault {
  return (asked) => {
    head(asked, changes(asked));
    asked.response.end(asked.file.subarray(asked.from, asked.end));
  };
}

export const silence: Fault = () => undefined;

export function silenceAfter(bytes: number): Fault {
  return (asked) => {
    head(asked);
    asked.response.write(asked.file.subarray(asked.from, Math.min(asked.end - 1, asked.from + bytes)));
  };
}

/** A byte now and then: never long enough without one to be given up for that. */
export const slowBody: Fault = (asked) => {
  const { response, file, from, end } = asked;
  head(asked);
  let at = from;
  const timer = setInterval(() => {
    if (at + 1 >= end) clearInterval(timer);
    else response.write(file.subarray(at, ++at));
  }, 50);
  response.on('close', () => clearInterval(timer));
};

export const slowHead: Fault = ({ request: { socket }, response }) => {
  socket.write('HTTP/1.1 200 OK\r\nx-slow: ');
  const timer = setInterval(() => socket.write('y'), 50);
  socket.on('close', () => clearInterval(timer));
  response.on('close', () => clearInterval(timer));
};

export const noHttp: Fault = ({ request: { socket } }) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n');

export function redirect(to: (asked: Asked) => string): Fault {
  return (asked) => void asked.response.writeHead(302, { location: to(asked) }).end();
}

/** Chunked, without length or ETag; `cutAt` undefined: to its end. */
export function chunked(cut?: number): Fault {
  return ({ response, file }) => {
    response.writeHead(200, { 'transfer-encoding': 'chunked' });
    if (cut === undefined) response.end(file);
    else response.write(file.subarray(0, cut), () => response.destroy());
  };
}

/** The connection's end is the file's. */
export function untilClose(bytes: number): Fault {
  return ({ response, file }) => {
    response.shouldKeepAlive = false;
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, { connection: 'close' });
    response.end(file.subarray(0, bytes));
  };
}

/** Places that speak TLS badly, as URLs. */
export interface BadTls {
  readonly unknownAuthority: string;
  readonly noCertificate: string;
  readonly plainText: string;
}

export async function startBadTls(cleanup: AsyncDisposableStack): Promise<BadTls> {
  const store = { setting: async () => undefined, putSetting: async () => undefined };
  const authority = await openCertificateAuthority({ store, clock: () => new Date() });
  const { certificatePem, keyPem } = await authority.issueServer();
  const listening = async (server: ReturnType<typeof createTlsServer> | ReturnType<typeof createHttpServer>) => {
    server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanup.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    return `https://127.0.0.1:${(server.address() as AddressInfo).port}/image`;
  };
  return {
    unknownAuthority: await listening(createTlsServer({ cert: certificatePem, key: keyPem })),
    noCertificate: await listening(createTlsServer({})),
    plainText: await listening(createHttpServer()),
  };
}
