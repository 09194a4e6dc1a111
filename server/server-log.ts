import { type Logger, pino } from 'pino';
import { limitLines } from './log-limit.ts';

export const LOG_LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'];

/**
 * The server's log on standard output: lines for people on a terminal, JSON otherwise. `level` is one of LOG_LEVELS. Tokens
 * that slip in are removed, and floods are cut short.
 */
export function serverLog(level: string, isTerminal: boolean): Logger {
  const redact = { paths: ['*.authorization', '*.headers.authorization', '*.token'], censor: '(redacted)' };
  const hooks = { logMethod: limitLines(() => performance.now()) };
  const common = { level, redact, hooks, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!isTerminal) return pino(common);
  const options = { colorize: true, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname', singleLine: true };
  return pino({ ...common, transport: { target: 'pino-pretty', options } });
}
