/** Most errors of one chain that are looked at: wrappers nest less deep, and a chain may be a circle. */
const maxErrors = 32

/**
 * Looks through an error and its causes, outermost first, and returns the first answer of `read`.
 *
 * A cause is in `cause` (ECMAScript, Drizzle), `driverError` (TypeORM) or `meta.driverAdapterError` (Prisma). The errors of an
 * `AggregateError` count if `read` has an answer for each of them: one that is unknown makes the whole unknown. Getters and
 * proxies that throw count as empty.
 */
export function findInErrors<Found>(
  error: unknown,
  read: (error: object) => Found | undefined,
  seen: Set<unknown> = new Set(),
): Found | undefined {
  if (typeof error !== 'object' || error === null || seen.has(error) || seen.size >= maxErrors) return undefined
  seen.add(error)
  const found = attempt(() => read(error))
  if (found !== undefined) return found
  for (const cause of [
    readProperty(error, 'cause'),
    readProperty(error, 'driverError'),
    readProperty(readProperty(error, 'meta'), 'driverAdapterError'),
  ]) {
    const deeper = findInErrors(cause, read, seen)
    if (deeper !== undefined) return deeper
  }
  const errors = attempt(() => (error instanceof AggregateError ? [...(error.errors as unknown[])] : []))
  if (errors === undefined || errors.length === 0) return undefined
  const founds = errors.map((each) => findInErrors(each, read, seen))
  return founds.includes(undefined) ? undefined : founds[0]
}

/** Reads a property of a value that may be anything; undefined when that fails. */
export function readProperty(value: unknown, key: string | symbol): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return attempt(() => (value as Record<string | symbol, unknown>)[key])
}

function attempt<Result>(action: () => Result): Result | undefined {
  try {
    return action()
  } catch {
    return undefined
  }
}
