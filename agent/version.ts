/** Of package.json (tested): the packed agent has no file to read it from. */
export const AGENT_VERSION = '0.1.0';
