import { TinsmithError } from '#proto/errors.ts';

/** As long as the server takes names. */
const LONGEST = 253;

/**
 * The path of what has a name in the API. Throws `invalid_input` for `.` and `..`: in a URL they are the folder and the one above (WHATWG
 * URL 4.4), coded or not, so that another route would answer.
 */
export function namedPath(folder: string, name: string): string {
  const isStep = name === '.' || name === '..';
  if (!isStep && name.length <= LONGEST) return `${folder}/${encodeURIComponent(name)}`;
  const fix = isStep ? 'a name has a letter or digit at both ends' : `a name has ${LONGEST} characters at most`;
  throw new TinsmithError('invalid_input', `nothing can be named ${JSON.stringify(name.slice(0, 200))}: ${fix}`);
}
