import { readFile, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { processIdentity } from './process-identity.js'

/** What `postmaster.pid` says about the server that runs in a data folder (PostgreSQL source: pidfile.h). */
export interface PostmasterPid {
  readonly pid: number
  readonly port: number
  /** Whether it accepts connections, as far as it says; false while it starts, recovers or stops. */
  readonly ready: boolean
}

/** Reads the text of a `postmaster.pid`; undefined when it is not one, or still being written. */
export function parsePostmasterPid(text: string): PostmasterPid | undefined {
  const lines = text.split('\n').map((line) => line.trim())
  const [pid, port] = [Number(lines[0] || Number.NaN), Number(lines[3] || Number.NaN)]
  if (!Number.isInteger(pid) || pid <= 1 || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined
  return { pid, port, ready: lines[7] === 'ready' }
}

/**
 * The server that runs in `pgData` (a resolved path), if one does. A file that names no process, or a process that is not this server
 * (its id was reused), is removed: PostgreSQL itself would refuse to start over the latter.
 */
export async function findSurvivor(pgData: string): Promise<PostmasterPid | undefined> {
  const path = join(pgData, 'postmaster.pid')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const found = parsePostmasterPid(text)
  if (found !== undefined && processIdentity(found.pid) !== undefined && (await mayBelongTo(found.pid, pgData)))
    return found
  await rm(path, { force: true })
  return undefined
}

/** Where nothing can be read about the process, its id is believed: starting beside a live server ruins its data. */
async function mayBelongTo(pid: number, pgData: string): Promise<boolean> {
  if (process.platform !== 'linux') return true
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
  if (command === undefined || command.split('\0').includes(pgData)) return true
  const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined)
  return workingDirectory === pgData
}
