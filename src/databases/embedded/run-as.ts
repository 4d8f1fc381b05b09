import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { TenancyError } from '../../core/errors/errors.js'

/** The user that runs the server's programs: PostgreSQL refuses to run as root. */
export interface RunAs {
  /** For logs and messages. */
  readonly description: string
  /** Owner that the server's files need, as this process sees it; undefined: the user of this process. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  /** Arguments for `spawn`. */
  command(file: string, args: readonly string[]): SpawnCommand
  /** Whether the server could read this file, or enter this folder. */
  canReach(path: string): boolean
}

interface SpawnCommand {
  readonly file: string
  readonly args: string[]
  readonly identity: { readonly uid?: number; readonly gid?: number }
}

/**
 * Chooses the user that runs the server. For an ordinary user, it is that user. `initdb` refuses a user without a name
 * (containers run as any number): it gets a name in a user namespace, if the machine allows that. For root, it is the first
 * of user `postgres`, user `nobody` and an unprivileged user namespace (`unshare`, util-linux) that can reach `dataDir`. When
 * none can, it is the first that works at all, and the caller keeps the data elsewhere.
 *
 * @throws {@link TenancyError} TENANCY_EMBEDDED_START_FAILED when root can become none of these users
 */
export function chooseRunAs(dataDir: string): RunAs {
  if (process.getuid?.() !== 0) return asOrdinaryUser()
  const working = [...usersNamed(['postgres', 'nobody']), inNamespace({ uid: 0, gid: 0 })].filter((candidate) =>
    candidate.canReach('/'),
  )
  const chosen = working.find((candidate) => candidate.canReach(dataDir)) ?? working[0]
  if (chosen === undefined) {
    throw new TenancyError(
      'TENANCY_EMBEDDED_START_FAILED',
      'PostgreSQL does not run as root, and this process can become neither postgres nor nobody nor use `unshare`: ' +
        'start it as an ordinary user, or set TENANT_DATABASE_URL',
    )
  }
  return chosen
}

const asSelf: RunAs = {
  description: 'the current user',
  owner: undefined,
  command: (file, args) => ({ file, args: [...args], identity: {} }),
  canReach: () => true,
}

/** A user namespace: inside, the process is an unprivileged user with a name; outside, its files belong to `owner`. */
function inNamespace(owner: RunAs['owner']): RunAs {
  const inside = usersNamed(['nobody'])[0]?.owner?.uid ?? 1000
  const namespace: RunAs = {
    description: 'an unprivileged user namespace',
    owner,
    command: (file, args) => ({ file: 'unshare', args: ['-U', `--map-user=${inside}`, file, ...args], identity: {} }),
    canReach: (path) => probe(namespace, path),
  }
  return namespace
}

function asOrdinaryUser(): RunAs {
  if (process.platform !== 'linux' || isNamed()) return asSelf
  const namespace = inNamespace(undefined)
  return namespace.canReach('/') ? namespace : asSelf
}

function isNamed(): boolean {
  try {
    return userInfo().username !== ''
  } catch {
    return false
  }
}

function usersNamed(names: readonly string[]): RunAs[] {
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  return names.flatMap((name) => {
    const [, , uid, gid] = users.find((fields) => fields[0] === name) ?? []
    if (uid === undefined || gid === undefined || Number(uid) === 0) return []
    return [asUser(name, Number(uid), Number(gid))]
  })
}

function asUser(name: string, uid: number, gid: number): RunAs {
  const user: RunAs = {
    description: `user ${name}`,
    owner: { uid, gid },
    command: (file, args) => ({ file, args: [...args], identity: { uid, gid } }),
    canReach: (path) => probe(user, path),
  }
  return user
}

/** Whether `runAs` can reach a path. A process tries it: modes alone miss ACLs, mounts and security modules. */
function probe(runAs: RunAs, path: string): boolean {
  const script = 'if test -d "$1"; then test -x "$1"; else test -r "$1"; fi'
  const { file, args, identity } = runAs.command('/bin/sh', ['-c', script, 'sh', path])
  return spawnSync(file, args, { cwd: '/', stdio: 'ignore', ...identity }).status === 0
}
