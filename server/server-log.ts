import { type Logger, pino } from 'pino';

export const LOG_LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'];

/**
 * The server's log on standard output: lines for people on a terminal, JSON otherwise. `level` is one of LOG_LEVELS. Tokens
 * that slip in are removed.
 */
export function serverLog(level: string, isTerminal: boolean): Logger {
  const redact = { paths: ['*.authorization', '*.headers.authorization', '*.token'], censor: '(redacted)' };
  const common = { level, redact, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!isTerminal) return pino(common);
  const options = { colorize: true, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname', singleLine: true };
  return pino({ ...common, transport: { target: 'pino-pretty', options } });
}
