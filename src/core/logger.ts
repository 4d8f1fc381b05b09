/** The part of pino's interface that this package calls. A pino or Fastify logger fits as it is. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Writes warnings and errors to standard error as JSON lines, and nothing else. The default when no logger is given. */
export const stderrLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (fields, message) => write('warn', fields, message),
  error: (fields, message) => write('error', fields, message),
}

function write(level: string, fields: object, message: string): void {
  const line = { level, time: new Date().toISOString(), ...fields, message }
  process.stderr.write(`${JSON.stringify(line, (_key, value: unknown) => describeError(value, 5))}\n`)
}

/** JSON shows nothing of an error by itself. Objects that drivers attach to errors (rows, sockets) are not shown. */
function describeError(value: unknown, maxCauses: number): unknown {
  if (!(value instanceof Error)) return value
  const { name, message, stack, cause } = value
  return {
    name,
    ...('code' in value && typeof value.code === 'string' ? { code: value.code } : undefined),
    message,
    stack,
    ...(cause === undefined || maxCauses === 0 ? undefined : { cause: describeError(cause, maxCauses - 1) }),
  }
}
