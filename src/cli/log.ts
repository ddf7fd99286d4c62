/**
 * The log of a command that runs for long, by one shape for all: lines for people on standard error, or JSON lines by
 * pino, which is loaded only then.
 */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Log {
  write(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** `line`: prints one. */
export function textLog(least: LogLevel, line: (text: string, level: LogLevel) => void): Log {
  const from = LOG_LEVELS.indexOf(least);
  return {
    write(level, message) {
      if (LOG_LEVELS.indexOf(level) >= from) line(message, level);
    },
  };
}

export interface JsonLogOptions {
  readonly name: string;
  readonly least: LogLevel;
  /** Takes one line, without its end: written at once, so that nothing is missing when the process ends. */
  readonly line: (text: string) => void;
}

/** Objects with `level` by name, `time` (ISO 8601), `pid`, `name`, the fields, and what is said as `text`. */
export async function jsonLog({ name, least, line }: JsonLogOptions): Promise<Log> {
  const { default: pino } = await import('pino');
  const options = {
    name,
    level: least,
    base: { pid: process.pid },
    messageKey: 'text',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const logger = pino(options, { write: (text: string) => line(text.trimEnd()) });
  return { write: (level, message, fields) => logger[level]({ ...fields }, message) };
}
