import type { ClusterPlan, PlannedNode } from '../api/cluster-types.ts';
import { durationText, sizeText } from './quantity-text.ts';
import { printable, type Terminal } from './terminal.ts';

type Out = Pick<Terminal, 'paint'>;

/** A plan for people: sections of aligned columns, in the order in which one asks. */
export function clusterPlanLines(out: Out, plan: ClusterPlan): readonly string[] {
  const sections: readonly (readonly [title: string, lines: readonly string[]])[] = [
    ['Machines', machineLines(plan)],
    ['Steps', plan.kind === 'change' ? stepLines(plan) : []],
    ['Spares', spareLines(plan)],
    [
      'Machines that are not used',
      aligned(plan.unfit.map(({ machine, labels, reason }) => [machine, labelText(labels), reason])),
    ],
    ['Disks that are erased', diskLines(plan)],
    ['Addresses', addressLines(plan)],
    ['Ports taken on this host', aligned(plan.ports.map(({ port, protocol, what }) => [`${port}/${protocol}`, what]))],
    ['Systems', systemLines(plan)],
    ['Users', userLines(plan)],
    ['If an installation fails', [failureText(plan)]],
    ...actionSections(plan),
  ];
  const shown = sections.filter(([, lines]) => lines.length > 0);
  return [
    out.paint('bold', printable(headline(plan))),
    ...shown.flatMap(([title, lines]) => [
      '',
      out.paint('bold', printable(title)),
      ...lines.map((line) => painted(out, line)),
    ]),
  ];
}

function headline({ cluster, kind, kubernetesVersion, bootstrapper, groups }: ClusterPlan): string {
  const what = kind === 'create' ? `new cluster ${cluster}` : `change of cluster ${cluster}`;
  const counts = groups.map(({ name, count }) => `${name} ${count}`).join(', ');
  return `Plan for the ${what}: Kubernetes ${kubernetesVersion} by ${bootstrapper.name}; ${counts}`;
}

function painted(out: Out, line: string): string {
  const text = `  ${printable(line)}`;
  return / {2}taken( |$)/.test(text) ? out.paint('red', text) : text;
}

const STEPS: Readonly<Record<NonNullable<PlannedNode['step']>, string>> = {
  init: 'makes the control plane',
  joinControlPlane: 'joins the control plane',
  joinWorker: 'joins as worker',
};

function machineLines({ nodes }: ClusterPlan): readonly string[] {
  const title = ['', 'MACHINE', 'GROUP', 'DOES', 'MAC', 'ADDRESS', 'WHY'];
  const rows = nodes.map((node) => {
    const order = node.order === undefined ? '' : `${node.order}`;
    return [order, node.machine, node.group, doesText(node), node.mac ?? '–', node.address ?? '–', node.reason];
  });
  return aligned([title, ...rows]);
}

function doesText({ fate, step }: PlannedNode): string {
  if (fate === 'kept') return 'stays';
  if (fate === 'removed') return 'leaves';
  const text = step === undefined ? 'joins' : STEPS[step];
  return fate === 'renewed' ? `${text}, made anew` : text;
}

function stepLines({ steps }: ClusterPlan): readonly string[] {
  if (steps.length === 0) return ['nothing is to be done'];
  return aligned(steps.map((step, index) => [`${index + 1}`, step]));
}

function spareLines({ spares }: ClusterPlan): readonly string[] {
  return aligned(
    spares.map(({ needs, groups, machines }) => {
      return [needs, `for ${groups.join(', ')}`, machines.length === 0 ? 'none' : machines.join(', ')];
    }),
  );
}

function diskLines({ disks }: ClusterPlan): readonly string[] {
  return aligned(
    disks.map(({ machine, device, actions, found, contents }) => {
      const facts = found === undefined ? ['not seen by an agent yet'] : diskFacts(found);
      const name = found === undefined || found.device === device ? device : `${device} (now ${found.device})`;
      return [machine, name, [...facts, contents].join(', '), `by ${actions.join(', ')}`];
    }),
  );
}

function diskFacts({
  sizeBytes,
  transport,
  model,
  serial,
}: NonNullable<ClusterPlan['disks'][number]['found']>): string[] {
  const facts = [sizeText(sizeBytes), transport, model, serial === undefined ? undefined : `serial ${serial}`];
  return facts.filter((fact) => fact !== undefined);
}

const STATES: Readonly<Record<ClusterPlan['addresses'][number]['state'], string>> = {
  free: 'free',
  taken: 'taken',
  own: 'its own',
  notChecked: 'not checked',
};

function addressLines({ addresses, metadataUrls }: ClusterPlan): readonly string[] {
  return [
    ...aligned(addresses.map(({ address, what, state, detail = '' }) => [address, what, STATES[state], detail])),
    `metadata and user data: ${metadataUrls.join(', ')}`,
  ];
}

function systemLines({ groups }: ClusterPlan): readonly string[] {
  return aligned(
    groups.map(({ name, osFamily, kubernetesVersion, templateRef, machineConfig }) => {
      const template = templateRef === undefined ? `default template of ${osFamily}` : `template ${templateRef}`;
      return [name, osFamily, `Kubernetes ${kubernetesVersion}`, template, `machine config ${machineConfig}`];
    }),
  );
}

/** Each user with the keys that let him in, and the groups where they do. */
function userLines({ groups }: ClusterPlan): readonly string[] {
  const rows = groups.flatMap(({ name, users }) =>
    users.flatMap((user) =>
      user.keys.map(({ type, fingerprint, comment = '' }) => ({
        group: name,
        row: [user.name, type, fingerprint, comment],
      })),
    ),
  );
  const byKey = Map.groupBy(rows, ({ row }) => row.join('\n'));
  return aligned(
    [...byKey.values()].map((same) => [...(same[0]?.row ?? []), `on ${same.map(({ group }) => group).join(', ')}`]),
  );
}

function failureText({ options }: ClusterPlan): string {
  const { retries, onFailure } = options;
  const again =
    retries === 0
      ? 'it is not tried again'
      : `it is tried ${retries === 1 ? 'once' : `${retries} times`} more on the same machine`;
  return `${again}; then ${onFailure === 'spare' ? 'a spare machine takes its place' : 'the cluster stops and waits for you'}`;
}

/** Machines whose actions are the same, word for word, are told together. */
function actionSections({ workflows }: ClusterPlan): readonly (readonly [string, readonly string[]])[] {
  const same = Map.groupBy(workflows, ({ template, timeoutMs, actions, userData }) =>
    JSON.stringify([template, timeoutMs, actions, userData.kind]),
  );
  return [...same.values()].flatMap((alike): readonly (readonly [string, readonly string[]])[] => {
    const [first] = alike;
    if (first === undefined) return [];
    const { template, timeoutMs, actions, userData } = first;
    const limit = timeoutMs === undefined ? '' : `, at most ${durationText(timeoutMs)}`;
    const title = `Actions of ${alike.map(({ machine }) => machine).join(', ')} (template ${template}${limit})`;
    const size = Math.max(...alike.map((each) => each.userData.sizeBytes));
    const keys = userData.holdsKeys ? ', holds keys and is not served any more once the node is ready' : '';
    const data =
      userData.kind === 'none' ? 'none' : `${userData.kind}, about ${Math.ceil(size / 1024)} KiB, never shown${keys}`;
    return [[title, [...actions.flatMap(actionLines), `user data: ${data}`]]];
  });
}

function actionLines(action: ClusterPlan['workflows'][number]['actions'][number], index: number): readonly string[] {
  const { name, image, timeoutMs, environment, command } = action;
  const values = Object.entries(environment).flatMap(([key, value]): string[][] => {
    const [first = '', ...more] = value.trimEnd().split('\n');
    return [[key, first], ...more.map((line) => ['', line])];
  });
  const words = command.length === 0 ? [] : [['command', command.join(' ')]];
  return [
    `${index + 1}  ${name} (${builtInOf(image)}), at most ${durationText(timeoutMs)}`,
    ...aligned([...words, ...values]).map((line) => `     ${line}`),
  ];
}

/** The action that an image names: registry, path and tag say nothing. */
function builtInOf(image: string): string {
  return image.split('@', 1)[0]?.split('/').at(-1)?.split(':', 1)[0] ?? image;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const texts = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return texts.length === 0 ? 'no labels' : texts.join(', ');
}

/** Rows as columns of equal width. */
function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
