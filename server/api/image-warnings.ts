import { libraryName } from '#proto/actions/image2disk.ts';
import type { Problem } from '#proto/errors.ts';
import { missingImages } from '../library/image-use.ts';
import { didYouMean } from '../manifests/did-you-mean.ts';
import type { Position } from '../manifests/findings.ts';
import type { LoadedManifests } from '../manifests/load-manifests.ts';
import { type Located, placeOf } from '../manifests/located.ts';
import type { ApiDeps } from './route.ts';

/** Who names images of the library, in words (`Workflow node-1`), and where that stands. */
export interface ImageUser {
  readonly who: string;
  readonly at: Position;
  readonly names: readonly string[];
}

type LibraryParts = Pick<ApiDeps['images'], 'library' | 'jobs'>;

/** One warning for each image that somebody names and that is not there: it may come before the machine does. */
export async function imageWarnings(users: readonly ImageUser[], parts: LibraryParts): Promise<readonly Problem[]> {
  const missing = await missingImages(new Set(users.flatMap(({ names }) => names)), parts.library);
  if (missing.length === 0) return [];
  const known = (await parts.library.list()).map(({ name }) => name);
  const imported = parts.jobs.imports().map(({ name }) => name);
  return missing.flatMap((name) => {
    const naming = users.filter(({ names }) => names.includes(name));
    const [first] = naming;
    if (first === undefined) return [];
    const more = naming.length === 1 ? '' : ` and ${naming.length - 1} more`;
    const verb = naming.length === 1 ? 'names' : 'name';
    const { file, line, column } = first.at;
    const message = `${first.who}${more} ${verb} library:${name}, ${faultOf(name, known, imported)}`;
    return [{ file, line, column, message }];
  });
}

function faultOf(name: string, known: readonly string[], imported: readonly string[]): string {
  if (imported.includes(name))
    return 'which is being imported: power machines on when it is there (tinsmith image list)';
  if (name.startsWith('sha256-')) return 'and the library has no such digest: name an image of tinsmith image list';
  const fact = 'and the library has no such image';
  return `${fact}${didYouMean(name, known)}: add it before the machine boots, with tinsmith image add ${name} SOURCE`;
}

/** Manifests of a cluster that name an image themselves; what its templates name is seen when they are rendered. */
export function clusterImageUsers({ datacenters, machineConfigs }: LoadedManifests): readonly ImageUser[] {
  return [
    ...datacenters.flatMap((each) => osImageUser('TinkerbellDatacenterConfig', each)),
    ...machineConfigs.flatMap((each) => osImageUser('TinkerbellMachineConfig', each)),
  ];
}

type OsImageManifest = Located<{ readonly name: string; readonly osImageURL?: string }>;

function osImageUser(kind: string, manifest: OsImageManifest): readonly ImageUser[] {
  const name = libraryName(manifest.value.osImageURL ?? '');
  if (name === undefined) return [];
  return [{ who: `${kind} ${manifest.value.name}`, at: placeOf(manifest, 'spec.osImageURL'), names: [name] }];
}
