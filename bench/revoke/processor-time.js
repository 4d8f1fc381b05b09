// Processor time of a PostgreSQL server on this machine, as Linux counts it.
import { readdirSync, readFileSync } from 'node:fs'

const msPerTick = 10

/** Fields of /proc/PID/stat from the third one on (proc(5)); undefined when the process is gone. */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/**
 * Milliseconds that the server's processes that live now, and those that it has reaped, have used so far; undefined where there
 * is no /proc.
 *
 * @param {import('pg').Pool} pool of the server
 */
export async function processorTimeMs(pool) {
  const { rows } = await pool.query('select pg_backend_pid() as pid')
  const postmaster = statOf(rows[0].pid)?.[1]
  if (postmaster === undefined) return undefined
  let ticks = 0
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const stat = statOf(pid)
    if (stat === undefined) continue
    if (pid === postmaster) ticks += stat.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
    else if (stat[1] === postmaster) ticks += Number(stat[11]) + Number(stat[12])
  }
  return ticks * msPerTick
}
