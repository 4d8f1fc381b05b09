/** PostgreSQL's table locks, weakest first (manual, 13.3 Explicit Locking). */
export const lockModes = [
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
] as const

/** A table lock. From `SHARE` on it stops writes, `ACCESS EXCLUSIVE` stops reads as well. */
export type LockMode = (typeof lockModes)[number]

/** Tells whether a lock is at least as strong as another. */
export function isAtLeast(lock: LockMode, other: LockMode): boolean {
  return lockModes.indexOf(lock) >= lockModes.indexOf(other)
}

/** The strongest of some locks. */
export function strongest(locks: Iterable<LockMode>): LockMode | undefined {
  let found: LockMode | undefined
  for (const lock of locks) if (found === undefined || isAtLeast(lock, found)) found = lock
  return found
}
