/** Requests and responses about images, as types.ts has them for the rest. */
import { Type } from 'typebox';
import { failureSchema, type View } from './types.ts';

const closed = { additionalProperties: false } as const;
const date = Type.String({ description: 'ISO 8601, UTC' });

export const imageSchema = Type.Object({
  name: Type.String(),
  digest: Type.String({ description: 'SHA-256 of the signed index, which vouches for every byte' }),
  imageBytes: Type.Integer({ description: 'As the disk will hold it' }),
  imageSha256: Type.String(),
  fileBytes: Type.Integer({ description: 'As it lies in the library' }),
  dataBytes: Type.Integer({ description: 'Of the image, that are no zeros' }),
  source: Type.String({ description: 'Without passwords' }),
  addedAt: date,
});
export type ImageView = View<typeof imageSchema>;

export const imageJobSchema = Type.Object({
  id: Type.String(),
  kind: Type.Unsafe<'add' | 'verify'>({ type: 'string' }),
  name: Type.String(),
  state: Type.Unsafe<'running' | 'succeeded' | 'failed' | 'cancelled'>({ type: 'string' }),
  done: Type.Integer({
    description: 'Bytes: of what has to be read of the source for `add`, of the image for `verify`',
  }),
  total: Type.Optional(Type.Integer()),
  startedAt: date,
  finishedAt: Type.Optional(date),
  image: Type.Optional(imageSchema),
  error: Type.Optional(failureSchema),
});
export type ImageJobView = View<typeof imageJobSchema>;

const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
export const addImageRequestSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 128 }),
    source: Type.String({
      minLength: 1,
      maxLength: 4096,
      description: 'Absolute path on the server, http or https URL, or OCI reference',
    }),
    sha256: Type.Optional(sha256),
    imageSha256: Type.Optional(sha256),
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
    level: Type.Optional(Type.Integer({ minimum: 1, maximum: 19, description: 'Of zstd' })),
  },
  closed,
);
export type AddImageRequest = View<typeof addImageRequestSchema>;

export const collectedSchema = Type.Object({
  digests: Type.Array(Type.String()),
  bytes: Type.Integer({ description: 'That are free again' }),
});
export type CollectedView = View<typeof collectedSchema>;
