import { randomBytes } from 'node:crypto'
import { closeSync, linkSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TenancyError } from '../../core/errors/errors.js'
import { isRunning, pidOf, processIdentity } from './process-identity.js'

const takeoverMaxAgeMs = 10_000

/**
 * Takes the lock of a data folder; the returned function releases it. The lock of a dead process is taken over. Works
 * between processes of one machine (one process id namespace), not across a network file system.
 *
 * @throws {@link TenancyError} TENANCY_EMBEDDED_IN_USE when another process holds it for longer than `timeoutMs`
 */
export async function lockFolder(dataDir: string, timeoutMs: number): Promise<() => void> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const release = tryLockFolder(dataDir)
    if (release !== undefined) return release
    if (Date.now() >= deadline) {
      const holder = pidOf(readHolder(join(dataDir, 'lock')) ?? '')
      throw new TenancyError(
        'TENANCY_EMBEDDED_IN_USE',
        `Process ${holder ?? 'unknown'} has been starting or stopping the embedded PostgreSQL in ${dataDir} for more than ` +
          `${Math.round(timeoutMs / 1000)} s: stop that process, or choose another TENANT_DATA_DIR`,
      )
    }
    await sleep(25)
  }
}

/** Takes the lock if it is free now; returns undefined when a running process holds it. */
export function tryLockFolder(dataDir: string): (() => void) | undefined {
  const path = join(dataDir, 'lock')
  const content = `${processIdentity(process.pid) ?? `${process.pid}.0`} ${randomBytes(6).toString('hex')}`
  const draft = `${path}.${content.split(' ')[1]}`
  // A hard link appears with its content or not at all: no process reads a half-written lock.
  writeFileSync(draft, content, { mode: 0o600, flag: 'wx' })
  try {
    if (!linkOnce(draft, path)) {
      removeStale(path)
      if (!linkOnce(draft, path)) return undefined
    }
  } finally {
    rmSync(draft, { force: true })
  }
  return () => {
    if (readHolder(path) === content) rmSync(path, { force: true })
  }
}

/** Removes a dead process's lock. Only the holder of the takeover file does that, so a new lock is never removed. */
function removeStale(path: string): void {
  const holder = readHolder(path)
  if (holder === undefined || isRunning(holder.split(' ')[0] ?? '')) return
  const takeover = `${path}.takeover`
  try {
    closeSync(openSync(takeover, 'wx', 0o600))
  } catch {
    const createdMs = statSync(takeover, { throwIfNoEntry: false })?.mtimeMs
    if (createdMs !== undefined && Date.now() - createdMs > takeoverMaxAgeMs) rmSync(takeover, { force: true })
    return
  }
  try {
    if (readHolder(path) === holder) rmSync(path, { force: true })
  } finally {
    rmSync(takeover, { force: true })
  }
}

function linkOnce(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function readHolder(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
