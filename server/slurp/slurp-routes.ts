import { join } from 'node:path';
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import { actionNameOf } from '#proto/actions/catalog.ts';
import { SLURP_FIELDS, SLURP_NAME } from '#proto/actions/slurp.ts';
import { ERROR_CODES, TinsmithError } from '#proto/errors.ts';
import { type CallerParts, callingMachine, plainAddress } from '../installed/calling-machine.ts';
import { makeFolder } from '../make-folder.ts';
import type { ActionRun, Hardware, Store } from '../store/store.ts';
import { IncomingFile } from './incoming-file.ts';
import { boundaryOf, readMultipart } from './multipart.ts';

export interface SlurpRoutesOptions extends CallerParts {
  readonly store: CallerParts['store'] & Pick<Store, 'listWorkflows'>;
  /** Files of a machine come into a folder of its name in it. */
  readonly folder: string;
  readonly limitBytes: number;
}

const LONGEST_FIELD = 1024;
/** A sender that sends nothing for so long is gone. */
const STALL_MS = 120_000;
/** How long a refused sender may take to notice. */
const LINGER_MS = 5000;

/**
 * Where the action slurp sends disks to. Only a machine whose workflow runs that action may, known by the address it connects
 * from, and only one file at a time. A file is there when it is whole; sent again, it replaces the older one.
 */
export function slurpRoutes(options: SlurpRoutesOptions): FastifyPluginAsync {
  const busy = new Set<string>();
  return async (server: FastifyInstance) => {
    server.setErrorHandler((thrown, request, reply) => {
      const error = TinsmithError.from(thrown);
      const { http } = ERROR_CODES[error.code];
      request.log[http >= 500 ? 'error' : 'warn']({ err: error, from: request.ip }, 'slurp.refused');
      void reply.code(http).type('text/plain; charset=utf-8');
      // What is still on its way is not wanted; the answer must be read before the connection ends.
      request.raw.resume();
      reply.raw.once('finish', () => setTimeout(() => request.raw.destroy(), LINGER_MS).unref());
      return reply.send(`${http >= 500 ? 'internal error, see the server’s log' : error.message}\n`);
    });
    // The body is a stream to us: no parser reads it.
    server.addContentTypeParser('multipart/form-data', (_request, payload, done) => done(null, payload));
    server.post('/slurp', async (request) => {
      const hardware = await senderOf(options, request);
      if (busy.has(hardware.name)) {
        throw new TinsmithError('conflict', `${hardware.name} is sending a file already`);
      }
      busy.add(hardware.name);
      try {
        return await receive(options, request, hardware.name);
      } finally {
        busy.delete(hardware.name);
      }
    });
    await Promise.resolve();
  };
}

async function receive(options: SlurpRoutesOptions, request: FastifyRequest, hardware: string): Promise<string> {
  const boundary = boundaryOf(request.headers['content-type'] ?? '');
  const folder = join(options.folder, hardware);
  await makeFolder(folder, 0o700);
  await using file = await IncomingFile.create(folder, options.limitBytes);
  const form = new Form(file);
  request.raw.setTimeout(STALL_MS, () => request.raw.destroy());
  await readMultipart(request.raw.iterator({ destroyOnReturn: false }), boundary, form);
  const { name, sha256 } = form.fields();
  await file.keep(name, sha256);
  request.log.info({ hardware, file: join(folder, name), bytes: file.bytes, sha256 }, 'slurp.stored');
  return `${sha256}  ${name}\n`;
}

/** The machine that connects, if it may. Forwarding headers are never believed. */
async function senderOf(options: SlurpRoutesOptions, request: FastifyRequest): Promise<Hardware> {
  const address = plainAddress(request.ip);
  const caller = await callingMachine(options, address);
  if (caller.kind === 'stranger') throw new TinsmithError('forbidden', `no machine has the address ${address}`);
  const { hardware } = caller;
  if (caller.kind === 'impostor') {
    const fact = `the address ${address} belongs to ${hardware.name}, and who uses it has the MAC ${caller.mac}`;
    throw new TinsmithError('forbidden', `${fact}: it may not send files`);
  }
  const workflows = await options.store.listWorkflows({ hardware: hardware.name, states: ['running'] });
  if (workflows.some((workflow) => workflow.actions.some(isSlurp))) return hardware;
  throw new TinsmithError('forbidden', `${hardware.name} runs no slurp action: it may not send files`);
}

function isSlurp({ image }: ActionRun): boolean {
  return actionNameOf(image) === 'slurp';
}

/** The one file and what is said of it. */
class Form {
  readonly #file: IncomingFile;
  #name: string | undefined;
  #sha256: string | undefined;
  #current: string | undefined;

  constructor(file: IncomingFile) {
    this.#file = file;
  }

  async part({ name, fileName }: { readonly name: string; readonly fileName?: string }): Promise<void> {
    this.#current = name;
    if (name === SLURP_FIELDS.sha256) this.#sha256 = '';
    if (name !== SLURP_FIELDS.file) return;
    if (this.#name !== undefined) throw new TinsmithError('invalid_input', 'the upload holds more than one file');
    if (fileName === undefined || !SLURP_NAME.test(fileName)) {
      throw new TinsmithError('invalid_input', `${JSON.stringify(fileName ?? '')} is no name for a file here`);
    }
    this.#name = fileName;
  }

  async data(bytes: Buffer): Promise<void> {
    if (this.#current === SLURP_FIELDS.file) await this.#file.write(bytes);
    if (this.#current !== SLURP_FIELDS.sha256) return;
    this.#sha256 = `${this.#sha256 ?? ''}${bytes.toString('latin1')}`;
    if (this.#sha256.length > LONGEST_FIELD)
      throw new TinsmithError('invalid_input', 'a field of the upload is too long');
  }

  fields(): { readonly name: string; readonly sha256: string } {
    const [name, sha256] = [this.#name, this.#sha256?.trim()];
    if (name === undefined) throw new TinsmithError('invalid_input', `the upload has no file "${SLURP_FIELDS.file}"`);
    if (sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256)) return { name, sha256 };
    throw new TinsmithError(
      'invalid_input',
      `the upload says no SHA-256 in a field "${SLURP_FIELDS.sha256}" behind the file`,
    );
  }
}
