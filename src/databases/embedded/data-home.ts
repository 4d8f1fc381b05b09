import { createHash, randomBytes } from 'node:crypto'
import {
  chmod,
  chown,
  lchown,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { TenancyError } from '../../core/errors/errors.js'
import type { RunAs } from './run-as.js'

/** Longest socket folder: a socket's path has at most 103 bytes on macOS, and `/.s.PGSQL.65535.lock` needs 21. */
const maxSocketDirBytes = 80

/**
 * Makes the data folder and returns its resolved path. Root also lets others pass through it (not list it): what is
 * inside has its own permissions, and the server runs as somebody else.
 *
 * @throws {@link TenancyError} TENANCY_EMBEDDED_START_FAILED when it can't be written
 */
export async function openDataDir(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
    const path = await realpath(dataDir)
    await writeFile(join(path, '.gitignore'), '*\n')
    if (process.getuid?.() === 0) await chmod(path, (await stat(path)).mode | 0o011)
    return path
  } catch (error) {
    throw new TenancyError(
      'TENANCY_EMBEDDED_START_FAILED',
      `The data folder ${dataDir} can't be written (${(error as NodeJS.ErrnoException).code ?? 'unknown error'}): ` +
        'correct its permissions or its owner, or choose another TENANT_DATA_DIR',
      { cause: error },
    )
  }
}

/**
 * Where the server's own files go: the data folder, or, when root's stand-in can't reach that (under a 0700 home), a
 * folder of its own for this data folder under /var/lib, the same one at every start.
 */
export async function serverHome(dataDir: string, runAs: RunAs): Promise<string> {
  if (runAs.canReach(dataDir)) return dataDir
  const home = join('/var/lib/tenants2fast', createHash('sha256').update(dataDir).digest('hex').slice(0, 16))
  await mkdir(home, { recursive: true })
  // Whatever the umask: the server's user has to pass through both.
  await chmod(dirname(home), 0o711)
  await chmod(home, 0o711)
  return home
}

/** Reads the superuser's password, or makes it: 256 random bits in a file only its owner can read. */
export async function readSecret(dataDir: string, mayCreate: boolean): Promise<string> {
  const path = join(dataDir, 'secret')
  const read = async () => (await readFile(path, 'utf8').catch(() => '')).trim()
  const found = await read()
  if (found !== '') {
    await chmod(path, 0o600).catch(() => {})
    return found
  }
  if (!mayCreate) {
    throw new TenancyError(
      'TENANCY_EMBEDDED_START_FAILED',
      `The password file ${path} is missing or unreadable, and there is data: restore the file, or move ${dataDir} away to start afresh`,
    )
  }
  await rm(path, { force: true })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await writeFile(draft, randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx', flush: true })
    await link(draft, path)
  } finally {
    await rm(draft, { force: true })
  }
  return read()
}

/** Gives a folder and all in it to the server's user, when root chose another one than the last time. */
export async function giveTo(runAs: RunAs, path: string): Promise<void> {
  const { owner } = runAs
  if (owner === undefined || (await stat(path)).uid === owner.uid) return
  const entries = await readdir(path, { recursive: true })
  await Promise.all(entries.map((entry) => lchown(join(path, entry), owner.uid, owner.gid)))
  // Last, so that an interrupted change is seen and repeated.
  await chown(path, owner.uid, owner.gid)
}

/** A private folder for the server's socket: in `home`, or a temporary one where that path is too long for a socket. */
export async function makeSocketDir(home: string, runAs: RunAs): Promise<{ path: string; temporary: boolean }> {
  const inside = join(home, 'run')
  const temporary = Buffer.byteLength(inside) > maxSocketDirBytes
  const path = temporary ? await mkdtemp('/tmp/t2f-') : inside
  if (!temporary) await mkdir(path, { recursive: true, mode: 0o700 })
  await giveTo(runAs, path)
  return { path, temporary }
}
