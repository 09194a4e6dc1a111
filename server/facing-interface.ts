import { networkInterfaces } from 'node:os';
import { TinsmithError } from '#proto/errors.ts';

/** Where machines reach this server. */
export interface FacingInterface {
  readonly name: string;
  /** IPv4 address and netmask, dotted. */
  readonly address: string;
  readonly netmask: string;
}

type Interfaces = ReturnType<typeof networkInterfaces>;

/**
 * Finds the interface that faces the machines from what the configuration names: an interface, an address, or neither when
 * there is only one that could be meant. Throws `invalid_input` that lists what exists.
 */
export function facingInterface(
  wanted: { readonly interface: string; readonly address: string },
  existing: Interfaces = networkInterfaces(),
): FacingInterface {
  const all = Object.entries(existing).flatMap(([name, addresses]) =>
    (addresses ?? [])
      .filter(({ family }) => family === 'IPv4')
      .map(({ address, netmask, internal }) => ({ name, address, netmask, internal })),
  );
  const named = wanted.interface !== '' || wanted.address !== '';
  const fitting = all.filter(
    (candidate) =>
      (wanted.interface === '' || candidate.name === wanted.interface) &&
      (wanted.address === '' || candidate.address === wanted.address) &&
      (named || !candidate.internal),
  );
  const [found, second] = fitting;
  const list = all.map(({ name, address }) => `${name} ${address}`).join(', ') || 'none';
  if (found === undefined) {
    const question = [wanted.interface, wanted.address].filter((text) => text !== '').join(' with address ');
    throw new TinsmithError(
      'invalid_input',
      `cannot face the machines on ${question === '' ? 'any interface' : question}: no such IPv4 interface; there are ${list}`,
    );
  }
  if (second !== undefined && wanted.address === '') {
    const message =
      wanted.interface === ''
        ? 'cannot tell which interface faces the machines: name one with --interface or --address'
        : `cannot tell which address of ${wanted.interface} faces the machines: name it with --address`;
    throw new TinsmithError('invalid_input', `${message}; there are ${list}`);
  }
  return { name: found.name, address: found.address, netmask: found.netmask };
}
