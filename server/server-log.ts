import { type Logger, pino } from 'pino';
import { TinsmithError } from '#proto/errors.ts';

const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'];

/** The server's log on standard output: lines for people on a terminal, JSON otherwise. Tokens that slip in are removed. */
export function serverLog(level: string, isTerminal: boolean): Logger {
  if (!LEVELS.includes(level)) {
    throw new TinsmithError('invalid_input', `the log level is "${level}": use one of ${LEVELS.join(', ')}`);
  }
  const redact = { paths: ['*.authorization', '*.headers.authorization', '*.token'], censor: '(redacted)' };
  const common = { level, redact, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!isTerminal) return pino(common);
  const options = { colorize: true, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname' };
  return pino({ ...common, transport: { target: 'pino-pretty', options } });
}
