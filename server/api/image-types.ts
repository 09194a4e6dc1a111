/** Requests and responses about images, as types.ts has them for the rest. */
import { Type } from 'typebox';
import { vouchedBySchema } from '../library/checks/vouched-by.ts';
import { closed, date, failureSchema, type View } from './schema-parts.ts';

export type VouchedByView = View<typeof vouchedBySchema>;

export const imageSchema = Type.Object({
  name: Type.String(),
  digest: Type.String({ description: 'SHA-256 of the signed index, which vouches for every byte' }),
  imageBytes: Type.Integer({ description: 'As the disk will hold it' }),
  imageSha256: Type.String(),
  fileBytes: Type.Integer({ description: 'As it lies in the library' }),
  dataBytes: Type.Integer({ description: 'Of the image, that are no zeros' }),
  source: Type.String({ description: 'Without passwords' }),
  sourceSha256: Type.Optional(Type.String({ description: 'Of the source as it was, where it was summed up' })),
  forUrl: Type.Optional(Type.String({ description: 'Workflows that name this URL get it; without passwords' })),
  vouchedBy: Type.Optional(
    Type.Array(vouchedBySchema, {
      description:
        'What said at the import that it is the right image, and was checked; empty: nothing; absent: not recorded',
    }),
  ),
  warning: Type.Optional(Type.String({ description: 'Why it may not be what was meant, although it was imported' })),
  damage: Type.Optional(
    Type.String({ description: 'Why machines would refuse it, as far as that is known, with the fix; not in jobs' }),
  ),
  addedAt: date,
});
export type ImageView = View<typeof imageSchema>;

export const imageJobSchema = Type.Object({
  id: Type.String(),
  kind: Type.Unsafe<'add' | 'verify'>({ type: 'string' }),
  name: Type.String(),
  state: Type.Unsafe<'running' | 'succeeded' | 'failed' | 'cancelled'>({ type: 'string' }),
  done: Type.Integer({
    description: 'Bytes: of the image for `verify`, and for `add` of a disk image such as qcow2; else of the source',
  }),
  total: Type.Optional(Type.Integer()),
  startedAt: date,
  finishedAt: Type.Optional(date),
  forUrl: Type.Optional(
    Type.String({ description: 'Of an import: workflows that name this URL are to get the image' }),
  ),
  trouble: Type.Optional(Type.String({ description: 'Why it makes no headway now, and is tried again' })),
  workflows: Type.Optional(
    Type.Array(Type.String(), {
      description: 'Of an import on first use, in the list of images: that wait for it; empty: none does any more',
    }),
  ),
  image: Type.Optional(imageSchema),
  outcome: Type.Optional(
    Type.Unsafe<'created' | 'configured' | 'unchanged'>({
      type: 'string',
      description:
        'Of an import that succeeded: its name is new, it got another image or more is known of the one it had, or neither',
    }),
  ),
  replaced: Type.Optional(
    Type.Object(
      {
        digest: Type.String(),
        workflows: Type.Array(Type.String(), { description: 'Unfinished; they get the new one' }),
        keeping: Type.Optional(
          Type.Array(Type.String(), { description: 'They run with the old one, and keep it until they end' }),
        ),
      },
      { description: 'The other image that the name stood for until then' },
    ),
  ),
  error: Type.Optional(failureSchema),
});
export type ImageJobView = View<typeof imageJobSchema>;

const waitingImportSchema = Type.Object({
  id: Type.String({ description: 'By which it is cancelled; that of its job once its turn has come' }),
  name: Type.String({ description: 'Of the image that it will make' }),
  source: Type.String({ description: 'URL without passwords' }),
  since: date,
  before: Type.Integer({ description: 'How many others wait that come first' }),
  reason: Type.String(),
  workflows: Type.Array(Type.String(), { description: 'That wait for it' }),
});
export type WaitingImportView = View<typeof waitingImportSchema>;

/** An import that a workflow waits for. */
export const importWaitSchema = Type.Object({
  image: Type.String({ description: 'File name' }),
  source: Type.String({ description: 'URL without passwords' }),
  done: Type.Integer({ description: 'Bytes of the source' }),
  total: Type.Optional(Type.Integer()),
  perSecond: Type.Number(),
  before: Type.Optional(Type.Integer({ description: 'While it waits for its turn: how many come first' })),
  trouble: Type.Optional(Type.String({ description: 'Why it makes no headway now, and is tried again' })),
});

const damagedNameSchema = Type.Object({
  name: Type.String(),
  file: Type.String({ description: 'On the server' }),
  reason: Type.String({ description: 'With the fix' }),
});

export const imageListSchema = Type.Object({
  items: Type.Array(imageSchema),
  imports: Type.Array(imageJobSchema, { description: 'That run now' }),
  failed: Type.Array(imageJobSchema, {
    description: 'The last imports that failed, until their names are added again',
  }),
  damaged: Type.Array(damagedNameSchema, {
    description: 'Names whose files cannot be used, and those of the items that machines would refuse',
  }),
  waiting: Type.Array(waitingImportSchema, { description: 'Imports on first use whose turn has not come' }),
});
export type ImageListView = View<typeof imageListSchema>;

const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const place = { minLength: 1, maxLength: 4096 } as const;
export const addImageRequestSchema = Type.Object(
  {
    name: Type.String({ maxLength: 4096 }),
    source: Type.String({
      ...place,
      description: 'Absolute path on the server, http or https URL, or OCI reference',
    }),
    sha256: Type.Optional(sha256),
    imageSha256: Type.Optional(sha256),
    checksums: Type.Optional(
      Type.String({ ...place, description: 'List with a sum of the source: absolute path on the server, or URL' }),
    ),
    signature: Type.Optional(
      Type.String({ ...place, description: 'Over the list, or over the source without one: absolute path, or URL' }),
    ),
    publicKey: Type.Optional(
      Type.String({ minLength: 1, description: 'Of minisign, cosign (PEM) or OpenPGP, in base64' }),
    ),
    architecture: Type.Optional(
      Type.Unsafe<'amd64' | 'arm64'>({
        enum: ['amd64', 'arm64'],
        description: 'Of an OCI reference that names several',
      }),
    ),
    credentials: Type.Optional(
      Type.Object(
        { username: Type.String({ minLength: 1 }), password: Type.String({ minLength: 1 }) },
        { ...closed, description: 'For the OCI registry; used once, never stored' },
      ),
    ),
    forUrl: Type.Optional(
      Type.String({ ...place, description: 'Workflows that name this URL are to get the image (library.import)' }),
    ),
    level: Type.Optional(Type.Integer({ minimum: 1, maximum: 19, description: 'Of zstd' })),
    replace: Type.Optional(
      Type.Boolean({ description: 'Whether unfinished workflows that need another image of that name get this one' }),
    ),
  },
  closed,
);
export type AddImageRequest = View<typeof addImageRequestSchema>;

export const removeImageQuerySchema = Type.Object(
  { force: Type.Optional(Type.Boolean({ description: 'Also one that an unfinished workflow needs' })) },
  closed,
);

export const collectedSchema = Type.Object({
  digests: Type.Array(Type.String()),
  bytes: Type.Integer({ description: 'That are free again' }),
});
export type CollectedView = View<typeof collectedSchema>;

/** What the verb gets of the part that serves images; the view has names of machines besides. */
export interface ImageServing {
  readonly streams: number;
  readonly egress: number;
  readonly machines: readonly ServingMachine[];
  readonly sharing: readonly View<typeof sharingMachineSchema>[];
}

/** As the view has it, with the time as a date. */
type ServingMachine = Omit<View<typeof servedMachineSchema>, 'hardware' | 'since'> & { readonly since: Date };

const servedMachineSchema = Type.Object({
  address: Type.String(),
  hardware: Type.Optional(Type.String({ description: 'The machine whose address it is' })),
  state: Type.Unsafe<'served' | 'waiting'>({ type: 'string' }),
  placeInLine: Type.Optional(Type.Integer({ description: 'Of those that wait; 1 is next' })),
  since: date,
  waitedSeconds: Type.Number({ description: 'Before it was served, or by now' }),
  requests: Type.Integer({ description: 'Under way or held' }),
  sentBytes: Type.Integer({ description: 'Since then' }),
  rate: Type.Integer({ description: 'Bytes a second, lately' }),
  isSlow: Type.Boolean({ description: 'It takes so little that others are served beside it' }),
});

const sharingMachineSchema = Type.Object({
  hardware: Type.String(),
  digest: Type.String({ description: 'SHA-256 of the index of the image' }),
  frames: Type.Integer({ description: 'How many it has by now' }),
});

export const imageServingSchema = Type.Object({
  streams: Type.Integer({ description: 'How many are served at once; 0: no limit' }),
  egress: Type.Integer({ description: 'Bytes a second for all together; 0: no limit' }),
  machines: Type.Array(servedMachineSchema),
  sharing: Type.Array(sharingMachineSchema, {
    description: 'Machines that give frames of the image they write to others',
  }),
});
export type ImageServingView = View<typeof imageServingSchema>;

const mirrorUrls = Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 32 });
export const mirrorsSchema = Type.Object({
  items: Type.Array(Type.String(), { description: 'URLs of folders, best first' }),
});
export type MirrorsView = View<typeof mirrorsSchema>;
export const changeMirrorsRequestSchema = Type.Object(
  { add: Type.Optional(mirrorUrls), remove: Type.Optional(mirrorUrls) },
  closed,
);
export type ChangeMirrorsRequest = View<typeof changeMirrorsRequestSchema>;
