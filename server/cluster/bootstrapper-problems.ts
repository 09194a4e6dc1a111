import { type Problem, TinsmithError } from '#proto/errors.ts';
import { clusterDefinitions } from '../manifests/cluster-definitions.ts';
import type { LoadedManifests } from '../manifests/load-manifests.ts';
import { placeOf } from '../manifests/located.ts';
import { bootstrapperFor } from './bootstrap/bootstrappers.ts';

/** Clusters whose annotation names a bootstrapper that does not exist, for a check without a server. */
export function bootstrapperProblems(loaded: LoadedManifests): readonly Problem[] {
  return clusterDefinitions(loaded, { templates: [] }).definitions.flatMap((definition): Problem[] => {
    try {
      bootstrapperFor(definition.value);
      return [];
    } catch (thrown) {
      const error = TinsmithError.from(thrown);
      if (error.code !== 'invalid_input') throw error;
      const { file, line, column } = placeOf(definition, 'metadata.annotations');
      return [{ file, line, column, message: error.message }];
    }
  });
}
