import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRunning, processIdentity } from './process-identity.js'

/** A process that is registered as a user of a server. The last one to leave stops the server. */
export interface ServerUser {
  /** Removes the registration; true when no other running process (or start in this process) uses the server. */
  leave(): boolean
}

/** Registers this process as a user of the server in `dataDir`. Registrations of dead processes are removed. */
export function joinServer(dataDir: string): ServerUser {
  const folder = join(dataDir, 'users')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const own = `${processIdentity(process.pid) ?? `${process.pid}.0`}_${randomBytes(6).toString('hex')}`
  writeFileSync(join(folder, own), '', { mode: 0o600 })
  return {
    leave() {
      rmSync(join(folder, own), { force: true })
      // The folder was removed, or is being removed: no process can join any more.
      const names = existsSync(folder) ? readdirSync(folder) : []
      const left = names.filter((name) => {
        const alive = isRunning(name.slice(0, name.lastIndexOf('_')))
        if (!alive) rmSync(join(folder, name), { force: true })
        return alive
      })
      return left.length === 0
    },
  }
}
