import { type GoStruct, INTERFACE_STRUCT, METADATA_STRUCT } from './go-structs.ts';
import type { HardwareManifest, JsonValue } from './hardware-kind.ts';

/** What a template is rendered for. */
export interface TemplateSubject {
  /** The machine of `.Hardware`; a workflow may have none. */
  readonly hardware?: HardwareManifest;
  /** False if the machine's user data is stored and out of reach: a template that asks for it is then refused. */
  readonly isUserDataKnown: boolean;
  /** The workflow's hardwareMap: values at top level, `.device_1`. */
  readonly bindings: Readonly<Record<string, string>>;
  /** Finds another Hardware by its name, for `.references`. */
  readonly findHardware: (name: string) => HardwareManifest | undefined;
}

/**
 * The data of a template as Tinkerbell gives it: the hardwareMap's keys at top level, `.hardware` (the whole object, JSON
 * names), `.Hardware` (Go structs; JSON names work as well) and `.references`.
 */
export function templateData(subject: TemplateSubject): ReadonlyMap<string, unknown> {
  const { hardware, bindings, findHardware } = subject;
  const data = new Map<string, unknown>();
  if (hardware !== undefined) {
    data.set('hardware', objectOf(hardware));
    data.set('Hardware', legacyHardware(hardware, subject.isUserDataKnown));
    data.set('references', referencesOf(hardware, findHardware));
  }
  for (const [key, value] of Object.entries(bindings)) data.set(key, value);
  return data;
}

/** The object as a cluster would print it. */
function objectOf(hardware: HardwareManifest): object {
  const { name, labels, annotations, spec } = hardware;
  return {
    apiVersion: 'tinkerbell.org/v1alpha1',
    kind: 'Hardware',
    metadata: { name, labels, annotations },
    spec,
  };
}

function legacyHardware(hardware: HardwareManifest, isUserDataKnown: boolean): ReadonlyMap<string, unknown> {
  const { spec } = hardware;
  const legacy = new Map<string, unknown>([
    ['Disks', spec.disks.map(({ device }) => device)],
    ['Interfaces', spec.interfaces.map((nic) => structOf(nic, INTERFACE_STRUCT))],
    ['Metadata', spec.metadata === undefined ? null : structOf(spec.metadata, METADATA_STRUCT)],
    ['VendorData', spec.vendorData ?? ''],
  ]);
  if (isUserDataKnown) legacy.set('UserData', spec.userData ?? '');
  return legacy;
}

/**
 * A Go struct's fields by both their names. A field that nobody set has Go's zero value and is no missing key: that is
 * what `{{ if .DHCP.VLANID }}` in the published templates counts on.
 */
function structOf(value: unknown, struct: GoStruct): ReadonlyMap<string, unknown> {
  const source: ReadonlyMap<string, unknown> = new Map(isRecord(value) ? Object.entries(value) : []);
  const fields = new Map<string, unknown>(source);
  for (const [jsonName, [goName, zero, inner]] of Object.entries(struct)) {
    const given = source.get(jsonName) ?? undefined;
    const made = given === undefined || inner === undefined ? (given ?? zero) : innerOf(given, inner());
    fields.set(jsonName, made);
    fields.set(goName, made);
  }
  return fields;
}

function innerOf(value: unknown, struct: GoStruct): unknown {
  return Array.isArray(value) ? value.map((item) => structOf(item, struct)) : structOf(value, struct);
}

/** `spec.references` that name another Hardware. One that cannot be followed is left out, as in Tinkerbell: its use is an error. */
function referencesOf(hardware: HardwareManifest, findHardware: TemplateSubject['findHardware']) {
  const references = new Map<string, object>();
  for (const [key, reference] of Object.entries(hardware.spec.references ?? {})) {
    const other = isHardwareReference(reference) ? findHardware(reference.name) : undefined;
    if (other !== undefined) references.set(key, objectOf({ ...other, spec: withoutSecrets(other.spec) }));
  }
  return references;
}

/** User data belongs to its own machine only, so no other machine's workflow may read it. */
function withoutSecrets(spec: HardwareManifest['spec']): HardwareManifest['spec'] {
  const { userData: _userData, vendorData: _vendorData, ...rest } = spec;
  return rest;
}

function isHardwareReference(
  value: JsonValue | undefined,
): value is { readonly name: string; readonly resource: string } {
  return isRecord(value) && typeof value['name'] === 'string' && value['resource'] === 'hardware';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
