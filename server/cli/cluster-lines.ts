import type { ClusterView, NodeView } from '../api/cluster-types.ts';
import { progressText, shortProgressText } from './progress-bar.ts';
import { durationText } from './quantity-text.ts';
import { printable, type Terminal } from './terminal.ts';

const BAR_WIDTH = 16;
const SHORT_BAR_WIDTH = 8;

type Out = Pick<Terminal, 'columns' | 'paint'>;

/** The live view of a cluster: what it is doing, one line a node, and what somebody has to do now. At most `most` lines. */
export function clusterLines(out: Out, cluster: ClusterView, now: Date, most: number): readonly string[] {
  const columns = out.columns() - 1;
  const instructions = instructionsOf(cluster).map((text) => out.paint('yellow', cut(`▶ ${text}`, columns)));
  const failure = cluster.failure === undefined ? [] : [out.paint('red', cut(`✗ ${cluster.failure}`, columns))];
  const head = out.paint('bold', cut(headline(cluster, now), columns));
  const room = Math.max(1, most - 1 - failure.length - Math.min(instructions.length, 4));
  const rows = rowsOf(cluster.nodes, columns, now);
  return [head, ...folded(rows, room), ...failure, ...folded(instructions, 4)];
}

function headline({ name, state, stateAt, groups }: ClusterView, now: Date): string {
  const wanted = groups.reduce((sum, { count }) => sum + count, 0);
  const ready = groups.reduce((sum, group) => sum + group.ready, 0);
  const since = state === 'ready' ? '' : `  ${elapsed(stateAt, now)}`;
  return `cluster ${printable(name)}  ${state}  ${ready} of ${wanted} nodes ready${since}`;
}

function folded(lines: readonly string[], room: number): readonly string[] {
  if (lines.length <= room) return lines;
  return [...lines.slice(0, room - 1), `… and ${lines.length - room + 1} more`];
}

function rowsOf(nodes: readonly NodeView[], columns: number, now: Date): readonly string[] {
  const width = Math.max(0, ...nodes.map(({ hardware }) => hardware.length));
  const groupWidth = Math.max(0, ...nodes.map(({ group }) => group.length));
  return nodes.map((node) => {
    const head = `  ${printable(node.hardware).padEnd(width)}  ${node.group.padEnd(groupWidth)}  ${node.state.padEnd(12)}`;
    const forms = doingForms(node, now).map((text) => `${head}  ${printable(text)}`.trimEnd());
    return cut(forms.find(({ length }) => length <= columns) ?? forms.at(-1) ?? '', columns);
  });
}

/** What a node does, the fullest form first. */
function doingForms(node: NodeView, now: Date): readonly string[] {
  const { workflow, waits, stateAt } = node;
  const current = workflow?.current;
  if (workflow !== undefined && current !== undefined) {
    const action = `${workflow.done + 1}/${workflow.actions} ${current.name}`;
    const since = current.startedAt === undefined ? '' : `  ${elapsed(current.startedAt, now)}`;
    if (current.progress === undefined) return [`${action}${since}`];
    const short = shortProgressText(current.progress, SHORT_BAR_WIDTH);
    return [`${action}${since}  ${progressText(current.progress, BAR_WIDTH)}`, `${action}  ${short}`, short];
  }
  // What somebody has to do stands below, in full.
  if (waits !== undefined) return [`${waits.forOperator ? 'waits for you' : waits.text}  ${elapsed(stateAt, now)}`];
  return [node.isCurrent ? '' : 'of another revision'];
}

/** What somebody has to do now, one sentence each. */
export function instructionsOf({ nodes }: Pick<ClusterView, 'nodes'>): readonly string[] {
  return nodes.flatMap(({ waits }) => (waits?.forOperator === true ? [printable(waits.text)] : []));
}

function elapsed(since: string, now: Date): string {
  return durationText(Math.floor((now.getTime() - Date.parse(since)) / 1000) * 1000).replace('.0s', 's');
}

function cut(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}
