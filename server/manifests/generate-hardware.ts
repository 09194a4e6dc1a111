import { stringify } from 'yaml';
import { type Problem, TinsmithError } from '#proto/errors.ts';
import { Claims } from './claims.ts';
import { Findings } from './findings.ts';
import { type BmcCells, readHardwareCsv } from './hardware-csv.ts';
import type { HardwareManifest } from './hardware-kind.ts';

export interface GeneratedHardware {
  /** Hardware of each row; Machine and Secret only of rows that have a BMC. Holds their passwords. */
  readonly text: string;
  readonly warnings: readonly Problem[];
}

/** Where EKS Anywhere keeps its machines. */
const NAMESPACE = 'eksa-system';

/** The objects that EKS Anywhere makes of a hardware CSV, as YAML. Throws `invalid_input` with every problem of the file. */
export function generateHardware(file: { readonly name: string; readonly text: string }): GeneratedHardware {
  const findings = new Findings();
  const text = file.text.replace(/^\uFEFF/, '');
  const { hardware, bmcs } = readHardwareCsv({ name: file.name, text }, findings, new Claims(findings));
  const { problems, warnings } = findings;
  if (problems.length > 0) {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
    throw new TinsmithError('invalid_input', `${file.name} has ${count}`, { problems });
  }
  const bmcOf = new Map(bmcs.map((bmc) => [bmc.hostname, bmc]));
  const objects = hardware.flatMap(({ value }) => {
    const bmc = bmcOf.get(value.name);
    return [hardwareObject(value), ...(bmc === undefined ? [] : [machineObject(bmc), secretObject(bmc)])];
  });
  return { text: objects.map((object) => stringify(object, { lineWidth: 0 })).join('---\n'), warnings };
}

function hardwareObject({ name, labels, spec }: HardwareManifest): object {
  const metadata = { name, namespace: NAMESPACE, ...(Object.keys(labels).length > 0 && { labels }) };
  return { apiVersion: 'tinkerbell.org/v1alpha1', kind: 'Hardware', metadata, spec };
}

function machineObject({ hostname, address }: BmcCells): object {
  return {
    apiVersion: 'bmc.tinkerbell.org/v1alpha1',
    kind: 'Machine',
    metadata: { name: `bmc-${hostname}`, namespace: NAMESPACE },
    spec: {
      connection: {
        host: address,
        port: 0,
        insecureTLS: true,
        authSecretRef: { name: `bmc-${hostname}-auth`, namespace: NAMESPACE },
        providerOptions: { preferredOrder: ['gofish'] },
      },
    },
  };
}

function secretObject({ hostname, username, password }: BmcCells): object {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: `bmc-${hostname}-auth`,
      namespace: NAMESPACE,
      labels: { 'clusterctl.cluster.x-k8s.io/move': 'true' },
    },
    type: 'kubernetes.io/basic-auth',
    data: { username: encoded(username), password: encoded(password) },
  };
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64');
}
