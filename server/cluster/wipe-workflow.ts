import { TinsmithError } from '#proto/errors.ts';
import { CLUSTER_LABEL, PURPOSE_LABEL } from '../life/workflow-purpose.ts';
import { agentIdentityOf } from '../manifests/known-machines.ts';
import { renderWorkflow } from '../manifests/render-workflow.ts';
import type { TemplateManifest } from '../manifests/template-kind.ts';
import type { NodeWorkflow } from '../store/cluster-contract.ts';
import type { Hardware } from '../store/store.ts';

interface WipeOptions {
  /** Name of the workflow. */
  readonly workflow: string;
  /** Absent: the machine is in none. */
  readonly cluster?: string;
  /** False: its agent stays and waits for the next workflow. */
  readonly powersOff: boolean;
}

/** A large rotating disk that is overwritten takes this long. */
const WIPE_SECONDS = 24 * 3600;

/** Empties all disks of a machine, by whatever the disk does best, reads back, and switches the machine off. */
export function wipeWorkflow(hardware: Hardware, { workflow, cluster, powersOff }: WipeOptions): NodeWorkflow {
  const identity = agentIdentityOf(hardware);
  if (identity === undefined) {
    throw new TinsmithError('conflict', `cannot wipe ${hardware.name}: it has no interface with a MAC to boot from`);
  }
  const template = wipeTemplate(powersOff);
  const request = {
    workflow,
    template,
    hardware,
    isUserDataKnown: false,
    bindings: { device_1: identity },
    findHardware: () => undefined,
    resolveWorker: () => hardware.name,
  };
  const { rendered, problems } = renderWorkflow(request, { actionTimeoutMs: WIPE_SECONDS * 1000 });
  if (rendered === undefined) {
    throw new TinsmithError('invalid_template', `cannot wipe ${hardware.name}: ${problems[0]?.message ?? ''}`, {
      problems,
    });
  }
  const labels = { [PURPOSE_LABEL]: 'wipe', ...(cluster === undefined ? {} : { [CLUSTER_LABEL]: cluster }) };
  const spec = { templateRef: template.name, hardwareRef: hardware.name, hardwareMap: { device_1: identity } };
  const manifest = { name: workflow, labels, annotations: {}, spec };
  return { template, workflow: { manifest, rendered, hardware: [hardware.name], chosen: false } };
}

/** Without DEST_DISK the action takes every disk that the Hardware names. */
function wipeTemplate(powersOff: boolean): TemplateManifest {
  const name = powersOff ? 'tinsmith-wipe-and-power-off' : 'tinsmith-wipe';
  const powerOff = `
      - name: power off
        image: tinsmith/actions/poweroff
        timeout: 60`;
  const data = `version: "0.1"
name: ${name}
global_timeout: ${WIPE_SECONDS + 3600}
tasks:
  - name: wipe
    worker: "{{.device_1}}"
    actions:
      - name: wipe disks
        image: tinsmith/actions/wipe
        timeout: ${WIPE_SECONDS}
        environment:
          METHOD: auto${powersOff ? powerOff : ''}
`;
  return { name, labels: {}, annotations: {}, data, source: 'Template' };
}
