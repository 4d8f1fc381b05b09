import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/**
 * Identity of a process, different from that of a later process with the same id: `<pid>.<start time>`. Undefined when no
 * such process runs; a zombie does not count. On Windows the start time is not read: a reused id counts as the old process.
 */
export function processIdentity(pid: number): string | undefined {
  if (process.platform === 'linux') return linuxIdentity(pid)
  if (!answersSignals(pid)) return undefined
  if (process.platform === 'win32') return `${pid}.0`
  try {
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', env: { LC_ALL: 'C' } })
    return `${pid}.${Date.parse(started.trim()) || 0}`
  } catch {
    return undefined
  }
}

/** Whether the process with this identity still runs; false for a text that is no identity. */
export function isRunning(identity: string): boolean {
  const pid = pidOf(identity)
  return pid !== undefined && processIdentity(pid) === identity
}

/** The process id inside an identity. */
export function pidOf(identity: string): number | undefined {
  const pid = Number(/^([1-9]\d{0,9})\./.exec(identity)?.[1])
  return Number.isSafeInteger(pid) ? pid : undefined
}

function linuxIdentity(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // proc(5): the command in parentheses may hold anything; state is the first field after it, starttime the 20th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8)
    return `${pid}.${boot}-${fields[19]}`
  } catch {
    return undefined
  }
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
