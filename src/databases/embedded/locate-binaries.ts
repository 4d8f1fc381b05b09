import { randomBytes } from 'node:crypto'
import { cp, lstat, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { changeOwner } from './data-home.js'
import type { RunAs } from './run-as.js'

/** Paths of the server's programs. */
export interface Binaries {
  readonly postgres: string
  readonly initdb: string
  readonly pgCtl: string
}

/**
 * Makes the binaries under `native` usable by `runAs`. Adds the library links that a postinstall script would make. Copies
 * everything to `<home>/runtime-…` when links are missing in a read-only package, or when `runAs` can't read the package.
 * Safe to repeat and to interrupt.
 */
export async function prepareBinaries(native: string, home: string, runAs: RunAs): Promise<Binaries> {
  const readable = runAs.canReach(join(native, 'lib')) && runAs.canReach(join(native, 'bin', executable('postgres')))
  if (readable && (await addLinks(native))) return binariesIn(native)
  const { version } = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')) as { version: string }
  const copy = await copyOut(native, home, `runtime-${version}`)
  await changeOwner(runAs, copy)
  return binariesIn(copy)
}

async function copyOut(native: string, home: string, name: string): Promise<string> {
  const target = join(home, name)
  if ((await readdir(home)).includes(name)) return target
  const draft = join(home, `draft-${randomBytes(6).toString('hex')}`)
  try {
    await cp(native, draft, { recursive: true, verbatimSymlinks: true })
    await addLinks(draft)
    await rename(draft, target)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return target
}

/** Adds missing links; returns false when a link can't be made. */
async function addLinks(native: string): Promise<boolean> {
  for (const { source, target } of await readLinks(native)) {
    const path = join(native, '..', pathIn(target, native))
    if (await exists(path)) continue
    try {
      await symlink(relative(dirname(target), source), path)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'EEXIST') continue
      if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM') return false
      throw error
    }
  }
  return true
}

/** Rewrites a path of the list, which starts with `native/`, for a copy that has another name. */
function pathIn(path: string, native: string): string {
  return join(basename(native), relative('native', path))
}

async function readLinks(native: string): Promise<{ source: string; target: string }[]> {
  try {
    return JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

function binariesIn(native: string): Binaries {
  const at = (name: string) => join(native, 'bin', executable(name))
  return { postgres: at('postgres'), initdb: at('initdb'), pgCtl: at('pg_ctl') }
}

function executable(name: string): string {
  return process.platform === 'win32' ? `${name}.exe` : name
}
