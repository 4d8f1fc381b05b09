import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRunning, processIdentity } from './process-identity.js'

/** One registered user of a server: whoever unregisters last stops it. */
export interface ServerUser {
  /** Gives the registration back; true when no other running process (or start in this one) still uses the server. */
  leave(): boolean
}

/** Registers this process as a user of the server in `dataDir`. Users that died are forgotten. */
export function joinServer(dataDir: string): ServerUser {
  const folder = join(dataDir, 'users')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const own = `${processIdentity(process.pid) ?? `${process.pid}.0`}_${randomBytes(6).toString('hex')}`
  writeFileSync(join(folder, own), '', { mode: 0o600 })
  return {
    leave() {
      rmSync(join(folder, own), { force: true })
      // Somebody removed the folder, or is at it: then nobody can join any more.
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
