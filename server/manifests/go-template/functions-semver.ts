import { deep, type FunctionTable } from './go-function.ts';
import { GoInteger, GoObject } from './go-value.ts';
import { satisfies } from './semver-constraint.ts';
import { parseVersion } from './semver-version.ts';

/** Sprig's functions on semantic versions (https://semver.org). */
export const SEMVER_FUNCTIONS: FunctionTable = {
  semver: deep(['string'], (given) => versionObject(given.string(0))),
  semverCompare: deep(['string', 'string'], (given) => satisfies(parseVersion(given.string(1)), given.string(0))),
};

function versionObject(text: string): GoObject {
  const version = parseVersion(text);
  const normal =
    version.numbers.join('.') +
    (version.prerelease === '' ? '' : `-${version.prerelease}`) +
    (version.metadata === '' ? '' : `+${version.metadata}`);
  const [major, minor, patch] = version.numbers;
  return new GoObject('*semver.Version', normal, [
    ['Major', new GoInteger('uint64', major)],
    ['Minor', new GoInteger('uint64', minor)],
    ['Patch', new GoInteger('uint64', patch)],
    ['Prerelease', version.prerelease],
    ['Metadata', version.metadata],
    ['Original', text],
    ['String', normal],
  ]);
}
