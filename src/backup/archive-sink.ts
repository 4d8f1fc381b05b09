import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { TenancyError } from '../core/errors/errors.js'
import { encodeFrame, frameKinds, streamHeader } from './frames.js'
import { manifestName } from './manifest.js'
import { syncFolder } from './sync-folder.js'

/** Where an archive is written to. */
export interface ArchiveSink {
  /** Writes one part. */
  write(name: string, bytes: AsyncIterable<Buffer>): Promise<void>
  /** Writes the manifest: only now the archive is one. */
  finish(manifest: string): Promise<void>
  /** Removes what was written. */
  abort(): Promise<void>
}

/** The error of a backup that cannot be written. */
export function backupFailed(problem: string, cause?: unknown): TenancyError {
  return new TenancyError(
    'TENANCY_BACKUP_FAILED',
    `The backup was not written: ${problem}`,
    cause === undefined ? {} : { cause },
  )
}

/**
 * A folder. Until the end it has another name beside the final one; what a process left that died is removed by the next
 * backup to the same name on the same machine. Files can be read by their owner alone.
 *
 * @throws {@link TenancyError} TENANCY_BACKUP_EXISTS: there is something of that name
 */
export async function openFolderSink(path: string): Promise<ArchiveSink> {
  const target = resolve(path)
  const parent = dirname(target)
  const start = `.${basename(target)}.partial.`
  const folder = join(parent, `${start}${hostname()}.${process.pid}.${randomBytes(4).toString('hex')}`)
  if (await exists(target)) throw backupExists(target)
  await removeAbandoned(parent, start)
  await mkdir(folder, { mode: 0o700 })
  const writeFile = async (name: string, bytes: AsyncIterable<Buffer> | Iterable<Buffer>) => {
    const file = await open(join(folder, name), 'wx', 0o600)
    try {
      // Each call writes on where the one before has ended.
      for await (const chunk of bytes) await file.writeFile(chunk)
      await file.sync()
    } finally {
      await file.close()
    }
  }
  return {
    write: writeFile,
    async finish(manifest) {
      await writeFile(manifestName, [Buffer.from(manifest)])
      await syncFolder(folder)
      // Fails when somebody has put a folder with content there meanwhile.
      if (await exists(target)) throw backupExists(target)
      await rename(folder, target)
      await syncFolder(parent)
    },
    abort: () => rm(folder, { recursive: true, force: true }),
  }
}

const backupExists = (target: string) =>
  new TenancyError('TENANCY_BACKUP_EXISTS', `The backup was not written: ${target} is there already`)

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function removeAbandoned(parent: string, start: string): Promise<void> {
  const names = (await readdir(parent)).filter((name) => name.startsWith(`${start}${hostname()}.`))
  for (const name of names) {
    const pid = Number(/\.(\d+)\.[0-9a-f]{8}$/.exec(name)?.[1])
    if (Number.isSafeInteger(pid) && !isRunning(pid)) await rm(join(parent, name), { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it runs as somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** A stream: the parts one after the other, and the manifest last; see {@link encodeFrame}. It is ended at the end. */
export function openStreamSink(stream: Writable): ArchiveSink {
  let failure: unknown
  stream.on('error', (error: unknown) => {
    failure ??= error
  })
  const send = async (bytes: Buffer) => {
    if (failure !== undefined) throw failure
    if (stream.destroyed) throw new Error('the stream was closed')
    if (!stream.write(bytes)) {
      const stop = new AbortController()
      try {
        await Promise.race([
          once(stream, 'drain', { signal: stop.signal }),
          once(stream, 'close', { signal: stop.signal }).then(() => {
            throw failure ?? new Error('the stream was closed')
          }),
        ])
      } finally {
        stop.abort()
      }
    }
  }
  let isBegun = false
  const begin = async () => {
    if (!isBegun) await send(Buffer.from(streamHeader))
    isBegun = true
  }
  return {
    async write(name, bytes) {
      await begin()
      await send(encodeFrame(frameKinds.part, Buffer.from(name)))
      for await (const chunk of bytes) await send(encodeFrame(frameKinds.data, chunk))
    },
    async finish(manifest) {
      await begin()
      await send(encodeFrame(frameKinds.manifest, Buffer.from(manifest)))
      await pipeline([encodeFrame(frameKinds.end, Buffer.alloc(0))], stream)
    },
    // It is the caller's. What was written has no end, and is refused by a restore.
    abort: async () => {},
  }
}
