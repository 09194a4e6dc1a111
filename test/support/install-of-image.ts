import type { ApiWorld } from './api-world.ts';
import { hardwareManifest, plannedWorkflow } from './records.ts';

/** A workflow m1 that writes `image`. */
export async function applyInstall({ transitions }: ApiWorld, image: string): Promise<void> {
  const planned = plannedWorkflow('m1', ['m1'], { images: ['image2disk'] });
  const environment = { DEST_DISK: '/dev/vda', IMG_URL: image };
  const tasks = planned.rendered.tasks.map((task) => ({
    ...task,
    actions: task.actions.map((action) => ({ ...action, environment })),
  }));
  const workflows = [{ ...planned, rendered: { ...planned.rendered, tasks } }];
  const template = { name: 'm1-template', labels: {}, annotations: {}, data: 'tasks: []', source: 'Template' as const };
  await transitions.apply(
    { hardware: [hardwareManifest('m1', 1)], templates: [template], workflows },
    { actor: 'operator' },
  );
}
