import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterView } from '../api/cluster-types.ts';
import type { EventView } from '../api/types.ts';
import { clusterPrinter } from './cluster-printer.ts';
import { openTerminal } from './terminal.ts';

const SINCE = '2026-01-01T00:00:00.000Z';
const now = () => new Date('2026-01-01T00:00:05.000Z');

/** What a terminal shows after LiveBlock's cursor movements, or what a pipe gets. */
class Screen {
  lines: string[] = [];
  readonly columns = 100;
  readonly rows = 20;
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    for (const piece of text.replaceAll('\u001b', 'ESC').split(/(ESC\[\d+AESC\[0J)/)) {
      const up = /^ESC\[(\d+)A/.exec(piece);
      if (up !== null) this.lines.splice(this.lines.length - Number(up[1]));
      else this.lines.push(...piece.split('\n').slice(0, -1));
    }
  }
}

function cluster(text: string): ClusterView {
  return {
    name: 'mgmt',
    state: 'creating',
    stateAt: SINCE,
    kubernetesVersion: '1.30',
    endpoint: '10.0.0.9',
    bootstrapper: 'kubeadm',
    options: { retries: 1, onFailure: 'spare', parallel: 16, skipDrain: false, wipe: true, loseState: false },
    groups: [{ name: 'control-plane', role: 'controlPlane', count: 1, ready: 0, kubernetesVersion: '1.30' }],
    nodes: [
      {
        hardware: 'cp-1',
        group: 'control-plane',
        role: 'controlPlane',
        state: 'provisioning',
        stateAt: SINCE,
        stage: 'discovered',
        tries: 1,
        initialises: true,
        isCurrent: true,
        revision: 'r',
        waits: { text, forOperator: true },
      },
    ],
    version: 1,
    createdAt: SINCE,
  };
}

function event(name: EventView['name']): EventView {
  return {
    id: 1,
    at: SINCE,
    name,
    actor: 'server',
    hardware: 'cp-1',
    data: { cluster: 'mgmt', group: 'control-plane' },
  };
}

function printed(isTTY: boolean, work: (printer: ReturnType<typeof clusterPrinter>) => void): readonly string[] {
  const screen = new Screen(isTTY);
  const printer = clusterPrinter({ out: openTerminal(screen, screen, { NO_COLOR: '1', TERM: 'xterm' }), now });
  work(printer);
  printer.close();
  return screen.lines;
}

describe('showing a cluster', () => {
  it('redraws its nodes below the events on a terminal', () => {
    const lines = printed(true, (printer) => {
      printer.show(cluster('power on cp-1 now'));
      printer.event(event('node.claimed'));
      printer.event(event('node.waiting'));
      printer.show(cluster('power-cycle cp-1 now'));
    });

    assert.deepEqual(lines, [
      '00:00:00  cp-1              claimed for mgmt, control-plane',
      'cluster mgmt  creating  0 of 1 nodes ready  5s',
      '  cp-1  control-plane  provisioning  waits for you  5s',
      '▶ power-cycle cp-1 now',
    ]);
  });

  it('tells each event and each new instruction once in a pipe', () => {
    const lines = printed(false, (printer) => {
      printer.show(cluster('power on cp-1 now'));
      printer.show(cluster('power on cp-1 now'));
      printer.event(event('node.installed'));
      printer.show(cluster('power-cycle cp-1 now'));
    });

    assert.deepEqual(lines, [
      '▶ power on cp-1 now',
      '00:00:00  cp-1              installed for mgmt, control-plane',
      '▶ power-cycle cp-1 now',
    ]);
  });
});
