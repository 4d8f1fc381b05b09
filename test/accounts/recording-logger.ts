import type { Logger } from '../../src/core/logger.js'

/** One call of a logger. */
export interface LogEntry {
  readonly level: keyof Logger
  readonly fields: object
  readonly message: string
}

/** A logger that records its calls. */
export function recordingLogger(): { logger: Logger; entries: LogEntry[] } {
  const entries: LogEntry[] = []
  const at = (level: keyof Logger) => (fields: object, message: string) => {
    entries.push({ level, fields, message })
  }
  return { entries, logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } }
}
