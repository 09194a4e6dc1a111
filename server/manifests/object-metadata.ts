import { faultOfLabelKey, faultOfLabelValue, faultOfObjectName } from './object-names.ts';
import {
  json,
  noted,
  object,
  optional,
  type Reader,
  record,
  refined,
  required,
  scalarText,
  text,
} from './yaml-reader.ts';

/** What we keep of an object's metadata. */
export interface ObjectMetadata {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export const readLabels: Reader<Readonly<Record<string, string>>> = record(
  noted(text(faultOfLabelValue)),
  faultOfLabelKey,
);

const metadataFields = object({
  name: required(noted(text(faultOfObjectName))),
  namespace: optional(noted(text(faultOfObjectName))),
  labels: optional(noted(readLabels)),
  annotations: optional(noted(record(scalarText(), faultOfLabelKey))),
  creationTimestamp: optional(json()),
  deletionTimestamp: optional(json()),
  deletionGracePeriodSeconds: optional(json()),
  finalizers: optional(json()),
  generation: optional(json()),
  managedFields: optional(json()),
  ownerReferences: optional(json()),
  resourceVersion: optional(json()),
  selfLink: optional(json()),
  uid: optional(json()),
});

/** `metadata` of any kind. What a cluster adds when it prints an object (uid, managedFields, …) is accepted and dropped. */
export const readMetadata: Reader<ObjectMetadata> = refined(
  metadataFields,
  ({ name, labels = {}, annotations = {} }) => ({ name, labels, annotations }),
);

/** As `readMetadata`, with the namespace: the parts of a cluster have to be in one. */
const readNamespacedMetadata: Reader<ObjectMetadata & { readonly namespace?: string }> = refined(
  metadataFields,
  ({ name, namespace, labels = {}, annotations = {} }) => {
    return { name, labels, annotations, ...(namespace === undefined ? {} : { namespace }) };
  },
);

/** The fields that every object has beside its spec: its kind, and a status that only its owner writes. */
export const objectFrame = {
  apiVersion: required(text()),
  kind: required(text()),
  metadata: required(readMetadata),
  status: optional(json()),
} as const;

/** The frame of the kinds that make up a cluster. */
export const clusterFrame = { ...objectFrame, metadata: required(readNamespacedMetadata) } as const;
