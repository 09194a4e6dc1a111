import type { ClusterView } from '../api/cluster-types.ts';
import type { EventView } from '../api/types.ts';
import { clusterLines, instructionsOf } from './cluster-lines.ts';
import type { CommandContext } from './command.ts';
import { eventLine } from './event-line.ts';
import { LiveBlock } from './live-block.ts';

export interface ClusterPrinter {
  /** Something happened to the cluster or one of its machines. */
  event(event: EventView): void;
  show(cluster: ClusterView): void;
  /** Stops drawing; what is on the screen stays. */
  close(): void;
}

const REDRAW_MS = 200;

/** One block that is redrawn on a terminal; plain lines in a pipe or a log. */
export function clusterPrinter({ out, now }: Pick<CommandContext, 'out' | 'now'>): ClusterPrinter {
  return out.isInteractive ? livePrinter({ out, now }) : plainPrinter({ out });
}

function livePrinter({ out, now }: Pick<CommandContext, 'out' | 'now'>): ClusterPrinter {
  const block = new LiveBlock(out);
  let shown: ClusterView | undefined;
  const draw = (): void => {
    if (shown !== undefined) block.draw(clusterLines(out, shown, now(), Math.max(4, out.rows() - 4)));
  };
  // A display may be late, never wrong: nothing else depends on this timer.
  const timer = setInterval(draw, REDRAW_MS);
  return {
    event(event) {
      if (isNews(event)) block.print(eventLine(event, out.paint));
    },
    show(cluster) {
      shown = cluster;
      draw();
    },
    close() {
      clearInterval(timer);
      draw();
    },
  };
}

/** Each event once, and each instruction when it is a new one. */
function plainPrinter({ out }: Pick<CommandContext, 'out'>): ClusterPrinter {
  const told = new Map<string, string>();
  return {
    event(event) {
      if (isNews(event)) out.line(eventLine(event, out.paint));
    },
    show(cluster) {
      for (const node of cluster.nodes) {
        const [text] = instructionsOf({ nodes: [node] });
        if (text !== undefined && told.get(node.hardware) !== text) out.line(`▶ ${text}`);
        told.set(node.hardware, text ?? '');
      }
    },
    close: () => undefined,
  };
}

/** What changes too often, or is told by the view itself, is no line of its own. */
function isNews({ name }: EventView): boolean {
  return !/^(action\.(progress|log)|node\.waiting|template\.|hardware\.(netboot|inventory|applied)|agent\.)/.test(name);
}
