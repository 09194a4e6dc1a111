import {
  type ActionName,
  actionNameOf,
  catalog,
  imageBaseName,
  imageName,
  isActionName,
} from '#proto/actions/catalog.ts';
import { TinsmithError } from '#proto/errors.ts';
import { Findings } from './findings.ts';
import type { ManifestFile } from './load-manifests.ts';
import { parseYaml } from './yaml-documents.ts';
import { record, word } from './yaml-reader.ts';

/**
 * A site's own names of actions: of whole image references (without tag and digest) or of base names. When a template is
 * rendered, an image that only the site knows becomes the built-in's name: all that comes after knows built-ins alone, and a
 * later change of the file changes no workflow that exists.
 */
export type ActionImages = ReadonlyMap<string, ActionName>;

/** The built-in that an image stands for. Throws `unknown_action` with what exists. */
export function builtInOf(image: string, site: ActionImages | undefined): ActionName {
  const own = siteNameOf(image, site);
  if (own !== undefined) return own;
  try {
    return actionNameOf(image);
  } catch (thrown) {
    const names = [...(site?.keys() ?? [])];
    if (names.length === 0) throw thrown;
    const fact = `${TinsmithError.from(thrown).message}, or of this site's names: ${names.join(', ')}`;
    throw new TinsmithError('unknown_action', fact, { cause: thrown });
  }
}

/** The image as workflows keep it. */
export function keptImage(image: string, site: ActionImages | undefined): string {
  return siteNameOf(image, site) ?? image;
}

function siteNameOf(image: string, site: ActionImages | undefined): ActionName | undefined {
  return site?.get(imageName(image)) ?? site?.get(imageBaseName(image));
}

/** Reads the file of `actions.map`: `NAME: BUILT-IN`, a line for each. Throws `invalid_input` with every fault and its place. */
export function readActionImages(file: ManifestFile): ActionImages {
  const findings = new Findings();
  const [document, second] = parseYaml(file, findings);
  const whole = { file: file.name, line: 0, column: 0 };
  if (second !== undefined) findings.refuse(whole, 'the file has several documents: write one map');
  if (document === undefined && findings.problemCount === 0) return new Map();
  const read = document && readMap({ node: document.root, scope: document.scope, path: 'actions' });
  if (read === undefined || findings.problemCount > 0) {
    const count = findings.problemCount === 1 ? 'one problem' : `${findings.problemCount} problems`;
    throw new TinsmithError('invalid_input', `cannot take the action names of ${file.name}: it has ${count}`, {
      problems: findings.problems,
    });
  }
  return new Map(Object.entries(read));
}

const BUILT_INS = Object.keys(catalog)
  .filter((name) => isActionName(name))
  .toSorted();

const readMap = record(word(BUILT_INS), (key) => {
  if (imageName(key) !== key) return 'has a tag or a digest: leave it out, the name counts for all of them';
  if (!/^[\w.-]+(:\d+)?(\/[\w.-]+)*$/.test(key)) return 'is no image name';
  return isActionName(key) ? 'is a built-in itself: write the whole reference of your image' : undefined;
});
