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
  summary: 'Cancel the import of an image, one that runs or waits for its turn; nothing of it stays.',
  options: API_OPTIONS,
  examples: ['tinsmith image cancel debian-13'],
  async run(context, input) {
    const { api, out } = context;
    const [name = ''] = input.positionals;
    const { imports, waiting } = await api.get<ImageListView>('/images');
    const wanted = [...imports, ...waiting];
    const found = wanted.find((each) => each.name === name);
    if (found === undefined) {
      const names = wanted.map((each) => each.name);
      const fact = names.length === 0 ? 'none runs' : `those of ${names.join(', ')} run or wait for their turn`;
      const sentence = `there is no import of ${JSON.stringify(name)}${didYouMean(name, names)}: ${fact}`;
      throw new TinsmithError('not_found', sentence);
    }
    const asked = await api.send<ImageJobView>('DELETE', `/image-jobs/${found.id}`);
    const { state } = await untilJobEnded(asked, context, () => undefined);
    if (state === 'succeeded') {
      throw new TinsmithError('conflict', `the import of ${name} had just ended: use tinsmith image remove ${name}`);
    }
    out.line(`image/${name} import ${state}`);
    return 0;
  },
};
