import { readFileSync } from 'node:fs'

/** The user that runs a PostgreSQL when the tests run as root, which PostgreSQL refuses; undefined: the tests' own user. */
export function locateServerUser(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('postgres:'))
  const [, , uid, gid] = line?.split(':') ?? []
  if (uid === undefined || gid === undefined) throw new Error('There is no user postgres to run a server as')
  return { uid: Number(uid), gid: Number(gid) }
}
