import { TinsmithError } from '#proto/errors.ts';
import type { ImageJobView, ImageListView } from '../../api/image-types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command } from '../command.ts';
import { untilJobEnded } from '../follow-image-job.ts';
import { didYouMean } from '../suggest.ts';

export const imageCancelCommand: Command = {
  name: 'image cancel',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Cancel the import of an image that runs; nothing of it stays.',
  options: API_OPTIONS,
  examples: ['tinsmith image cancel debian-13'],
  async run(context, input) {
    const { api, out } = context;
    const [name = ''] = input.positionals;
    const { imports, waiting } = await api.get<ImageListView>('/images');
    const running = imports.find((job) => job.name === name);
    if (waiting.some((each) => each.name === name)) {
      const fact = `the import of ${name} has not begun, it waits for its turn`;
      throw new TinsmithError('conflict', `${fact}: cancel it when it runs, or the workflows that want it now`);
    }
    if (running === undefined) {
      const names = imports.map((job) => job.name);
      const fact = names.length === 0 ? 'none runs' : `those of ${names.join(', ')} run`;
      const sentence = `there is no import of ${JSON.stringify(name)}${didYouMean(name, names)}: ${fact}`;
      throw new TinsmithError('not_found', sentence);
    }
    const asked = await api.send<ImageJobView>('DELETE', `/image-jobs/${running.id}`);
    const { state } = await untilJobEnded(asked, context, () => undefined);
    if (state === 'succeeded') {
      throw new TinsmithError('conflict', `the import of ${name} had just ended: use tinsmith image remove ${name}`);
    }
    out.line(`image/${name} import ${state}`);
    return 0;
  },
};
