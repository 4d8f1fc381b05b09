import { createReadStream } from 'node:fs'
import { mkdtemp, open, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { findTenancyError, TenancyError } from '../core/errors/errors.js'
import { readFrames } from './frames.js'
import { invalidArchive, type Manifest, manifestName, readManifest } from './manifest.js'
import { chain, measure } from './part-bytes.js'

/** An archive to read. Nothing that it says is trusted. */
export interface ArchiveSource {
  readonly manifest: Manifest
  /** Whether this installation, or one with the same master secret, has written the manifest. */
  readonly isSigned: boolean
  /** Reads a part. `check` throws when what was read is not what was written; call it after the end of `bytes`. */
  open(name: string, onBytes: (count: number) => void): { readonly bytes: Readable; readonly check: () => void }
  /** Removes what was stored for a while. */
  close(): Promise<void>
}

const maxManifestBytes = 256 * 1024 * 1024

/**
 * Opens the folder of a backup, or stores a stream in the temporary folder: an encrypted one stays encrypted there.
 *
 * @throws {@link TenancyError} TENANCY_BACKUP_INVALID
 */
export async function openArchive(from: string | Readable, secret: Buffer): Promise<ArchiveSource> {
  if (typeof from === 'string') return openFolder(resolve(from), secret, async () => {})
  const folder = await mkdtemp(join(tmpdir(), 't2f-restore-'))
  const close = () => rm(folder, { recursive: true, force: true })
  try {
    await storeStream(from, folder)
    return await openFolder(folder, secret, close)
  } catch (error) {
    await close()
    throw error
  }
}

async function openFolder(folder: string, secret: Buffer, close: () => Promise<void>): Promise<ArchiveSource> {
  const path = join(folder, manifestName)
  const json = await stat(path)
    .then((found) => {
      // A device or a pipe in its place would be read without an end.
      if (!found.isFile()) throw invalidArchive(`its ${manifestName} is no file`)
      if (found.size > maxManifestBytes) throw invalidArchive('its manifest is too large')
      return readFile(path, 'utf8')
    })
    .catch((cause: unknown) => {
      if (findTenancyError(cause)) throw cause
      throw invalidArchive(`there is no ${manifestName} in ${folder}: it is no finished backup`, cause)
    })
  const { manifest, isSigned } = readManifest(json, secret)
  const parts = new Map(manifest.parts.map((part) => [part.name, part]))
  // Before a database is built for it.
  for (const part of parts.values()) await checkPart(folder, part)
  return {
    manifest,
    isSigned,
    open(name, onBytes) {
      const part = parts.get(name)
      if (part === undefined) throw invalidArchive(`its manifest names no part ${name}`)
      const { through, result } = measure(onBytes)
      const file = createReadStream(join(folder, name), { highWaterMark: 1 << 18 })
      let problem: unknown
      file.on('error', (error) => {
        problem = error
      })
      return {
        bytes: chain(file, through),
        check() {
          if (problem !== undefined) throw invalidArchive(`the part ${name} cannot be read`, problem)
          const { bytes, sha256 } = result()
          if (bytes !== part.bytes) throw invalidArchive(`the part ${name} has ${bytes} bytes instead of ${part.bytes}`)
          if (sha256 !== part.sha256) throw invalidArchive(`the part ${name} was changed: its SHA-256 is another one`)
        },
      }
    },
    close,
  }
}

async function checkPart(folder: string, { name, bytes }: Manifest['parts'][number]): Promise<void> {
  const found = await stat(join(folder, name)).catch((cause: unknown) => {
    throw invalidArchive(`the part ${name} cannot be read`, cause)
  })
  if (!found.isFile()) throw invalidArchive(`the part ${name} is no file`)
  if (found.size !== bytes) throw invalidArchive(`the part ${name} has ${found.size} bytes instead of ${bytes}`)
}

const isFull = (error: unknown) => ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as { code?: string }).code ?? '')

async function storeStream(stream: Readable, folder: string): Promise<void> {
  let file: Awaited<ReturnType<typeof open>> | undefined
  let manifest: string | undefined
  try {
    for await (const frame of readFrames(stream)) {
      if (frame.kind === 'part') {
        await file?.close()
        // `wx`: a name that comes twice is refused.
        file = await open(join(folder, frame.name), 'wx', 0o600)
      } else if (frame.kind === 'data') {
        if (file === undefined) throw invalidArchive('the stream is damaged')
        await file.writeFile(frame.bytes)
      } else {
        manifest = frame.json
      }
    }
  } catch (error) {
    if (findTenancyError(error)) throw error
    if (isFull(error)) {
      throw new TenancyError(
        'TENANCY_RESTORE_REFUSED',
        'The backup is not restored: the disk of the temporary folder is full. Set TMPDIR to another one, or restore from a folder',
        { cause: error },
      )
    }
    throw invalidArchive('the stream cannot be read or stored', error)
  } finally {
    await file?.close()
  }
  if (manifest === undefined) throw invalidArchive('the stream has no manifest')
  const target = await open(join(folder, manifestName), 'wx', 0o600)
  try {
    await target.writeFile(manifest)
  } finally {
    await target.close()
  }
}
