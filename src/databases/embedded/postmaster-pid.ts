import { readFile, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { processIdentity } from './process-identity.js'

/** Contents of `postmaster.pid`, about the server that runs in a data folder (PostgreSQL source: pidfile.h). */
export interface PostmasterPid {
  readonly pid: number
  readonly port: number
  /** Whether it accepts connections; false while it starts, recovers or stops. */
  readonly ready: boolean
}

/** Parses the text of a `postmaster.pid`; undefined when it is incomplete or something else. */
export function parsePostmasterPid(text: string): PostmasterPid | undefined {
  const lines = text.split('\n').map((line) => line.trim())
  const [pid, port] = [Number(lines[0] || Number.NaN), Number(lines[3] || Number.NaN)]
  if (!Number.isInteger(pid) || pid <= 1 || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined
  return { pid, port, ready: lines[7] === 'ready' }
}

/**
 * Finds the server that runs in `pgData` (a resolved path). A file that names no process, or another process (whose id was
 * reused), is removed: PostgreSQL itself would refuse to start because of the latter.
 */
export async function findRunningServer(pgData: string): Promise<PostmasterPid | undefined> {
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

/** True also when nothing can be read about the process: a second server in the folder would destroy its data. */
async function mayBelongTo(pid: number, pgData: string): Promise<boolean> {
  if (process.platform !== 'linux') return true
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
  if (command === undefined || command.split('\0').includes(pgData)) return true
  const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined)
  return workingDirectory === pgData
}
