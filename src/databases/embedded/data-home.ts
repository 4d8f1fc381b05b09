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

/** Longest path of a socket folder: a socket's path has at most 103 bytes on macOS, and `/.s.PGSQL.65535.lock` needs 21. */
const maxSocketDirBytes = 80

/**
 * Makes the data folder and returns its resolved path. As root, it also lets other users pass through the folder (not list
 * it), because the server runs as another user; the entries have permissions of their own.
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
 * Returns the folder for the server's own files: the data folder, or, when the user that runs the server for root can't
 * reach that (under a 0700 home), a folder under /var/lib that belongs to this data folder and is the same at every start.
 */
export async function serverHome(dataDir: string, runAs: RunAs): Promise<string> {
  if (runAs.canReach(dataDir)) return dataDir
  const home = join('/var/lib/tenants2fast', createHash('sha256').update(dataDir).digest('hex').slice(0, 16))
  await mkdir(home, { recursive: true })
  // Independent of the umask: the server's user has to pass through both.
  await chmod(dirname(home), 0o711)
  await chmod(home, 0o711)
  return home
}

/** Reads the superuser's password, or makes it: 256 random bits in a file that only its owner can read. */
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
      `The password file ${path} is missing or unreadable, and there is data: restore the file, or move ${dataDir} away to start with an empty one`,
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

/** Makes the server's user the owner of a folder and its entries, when root runs the server as another user than before. */
export async function changeOwner(runAs: RunAs, path: string): Promise<void> {
  const { owner } = runAs
  if (owner === undefined || (await stat(path)).uid === owner.uid) return
  const entries = await readdir(path, { recursive: true })
  await Promise.all(entries.map((entry) => lchown(join(path, entry), owner.uid, owner.gid)))
  // The folder comes last, so that an interrupted change is detected and repeated.
  await chown(path, owner.uid, owner.gid)
}

/** Makes a private folder for the server's socket: in `home`, or a temporary one where that path is too long. */
export async function makeSocketDir(home: string, runAs: RunAs): Promise<{ path: string; temporary: boolean }> {
  const inside = join(home, 'run')
  const temporary = Buffer.byteLength(inside) > maxSocketDirBytes
  const path = temporary ? await mkdtemp('/tmp/t2f-') : inside
  if (!temporary) await mkdir(path, { recursive: true, mode: 0o700 })
  await changeOwner(runAs, path)
  return { path, temporary }
}
