import { deep, type FunctionTable } from './go-function.ts';
import { functionFault } from './template-error.ts';

const SECRETS = 'secrets made while rendering would differ each time and stand in the workflow in plain text';
const CLOCK = 'a template renders the same at any time, so it has no clock and no dates';
const CHANCE = 'a template renders the same every time, so it has no random numbers';
const OUTSIDE = 'a template sees its data and nothing of the server';

/** Functions of sprig that Tinsmith knows and refuses, with the reason. */
export const REFUSED_FUNCTIONS: ReadonlyMap<string, string> = new Map([
  ...named(
    'bcrypt htpasswd derivePassword genPrivateKey genCA genCAWithKey genSelfSignedCert genSelfSignedCertWithKey ' +
      'genSignedCert genSignedCertWithKey buildCustomCert encryptAES decryptAES',
    SECRETS,
  ),
  ...named(
    'ago date dateInZone date_in_zone dateModify date_modify mustDateModify must_date_modify duration durationRound ' +
      'htmlDate htmlDateInZone now toDate mustToDate unixEpoch',
    CLOCK,
  ),
  ...named('randAlpha randAlphaNum randAscii randBytes randInt randNumeric shuffle uuidv4', CHANCE),
  ...named('env expandenv getHostByName', OUTSIDE),
]);

/** They parse, so that a branch that is never taken does no harm, and fail when called. */
export const REFUSING_FUNCTIONS: FunctionTable = Object.fromEntries(
  [...REFUSED_FUNCTIONS].map(([name, reason]) => [
    name,
    deep(
      [],
      () => {
        throw functionFault(`${name} is not available: ${reason}`);
      },
      'value',
    ),
  ]),
);

function named(names: string, reason: string): [string, string][] {
  return names.split(' ').map((name) => [name, reason]);
}
