import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { exampleFile, planOf } from '#test/support/plan-world.ts';
import { clusterPlanLines } from './cluster-plan-lines.ts';

const plain = { paint: (_style: unknown, text: string) => text };
const tagged = { paint: (style: string, text: string) => `<${style}>${text}</>` };
const GOLDEN = new URL('../../test/fixtures/eksa-example/plan.txt', import.meta.url);

describe('the text of a plan', () => {
  it('tells everything about the published example', () => {
    const plan = planOf([exampleFile('cluster.yaml'), exampleFile('hardware-fixed.csv')]);

    const text = `${clusterPlanLines(plain, plan).join('\n')}\n`;

    assert.deepEqual(plan.problems, []);
    assert.equal(text, readFileSync(GOLDEN, 'utf8'));
  });

  it('shows an address that somebody has in red, on terminals', () => {
    const csv = exampleFile('hardware-fixed.csv');
    const taken = { '192.168.10.41': { mac: '02:00:00:00:00:99' } };
    const plan = planOf([exampleFile('cluster.yaml'), csv], { taken });

    const line = clusterPlanLines(tagged, plan).find((each) => each.includes('192.168.10.41'));

    assert.match(line ?? '', /^<red> +192\.168\.10\.41 +control plane endpoint +taken +MAC 02:00:00:00:00:99<\/>$/);
  });

  it('makes control characters of names visible', () => {
    const [cluster, csv] = [exampleFile('cluster.yaml'), exampleFile('hardware-fixed.csv')];
    const plan = planOf([cluster, csv]);
    const nodes = plan.nodes.map((node) => ({ ...node, reason: '\u001b[31mred' }));

    const text = clusterPlanLines(plain, { ...plan, nodes }).join('\n');

    assert.equal(text.includes('\u001b'), false);
    assert.match(text, /·\[31mred/);
  });
});
