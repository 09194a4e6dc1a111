import { readlink, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { systemCodeOf } from '#proto/errors.ts';

/** A symbolic link because of which a file is not served. */
export interface LinkOutside {
  readonly link: string;
  /** As the link has it. */
  readonly target: string;
  /** With the fix. */
  readonly reason: string;
}

/** Hears of links that keep files from being served. */
export type LinkListener = (link: LinkOutside) => void;

/** Logs each link once, however often it is asked for: as long as it leads where it leads. `warn`: of a pino logger. */
export function linksToldOnce(warn: (facts: LinkOutside, name: string) => void): LinkListener {
  const told = new Set<string>();
  return (outside) => {
    const key = `${outside.link}\0${outside.target}`;
    if (told.has(key)) return;
    told.add(key);
    warn(outside, 'boot.linkNotServed');
  };
}

/** The first link on the way to a file that leads out of the folder, or nowhere. `root` has no links in it. */
export async function linkOutside(root: string, path: string): Promise<LinkOutside | undefined> {
  let link = root;
  for (const part of path.split('/').filter((each) => each !== '')) {
    link = join(link, part);
    try {
      const target = await readlink(link);
      const reason = await reasonOf(root, link);
      if (reason !== undefined) return { link, target, reason };
    } catch (thrown) {
      // What is no link is gone through; behind what is not there nothing is.
      if (systemCodeOf(thrown) !== 'EINVAL') return undefined;
    }
  }
  return undefined;
}

async function reasonOf(root: string, link: string): Promise<string | undefined> {
  let end: string;
  try {
    end = await realpath(link);
  } catch (thrown) {
    return `it cannot be followed (${systemCodeOf(thrown) ?? 'unknown'}): make it again, or let the server's user read there`;
  }
  if (end === root || end.startsWith(`${root}${sep}`)) return undefined;
  return `it leads out of ${root}, and nothing outside of that is served: put the file there, or mount its folder there`;
}
