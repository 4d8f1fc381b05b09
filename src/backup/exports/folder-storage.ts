import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExportStorage } from '../../core/backup/exports.js'
import { syncFolder } from '../sync-folder.js'

const keyPattern = /^[0-9a-f-]{36}\.[0-9a-f-]{36}$/
const ending = '.t2fb'
const partialEnding = '.t2fb.partial'

/**
 * Keeps archives as files in a folder. A file has another name until all of it is on the disk (`fsync`, then `rename`); only its
 * owner can read it. What else is in the folder is not touched.
 */
export function createFolderStorage(folder: string): ExportStorage {
  const pathOf = (key: string, end = ending) => {
    // Keys are ours. One that is none must not become a path.
    if (!keyPattern.test(key)) throw new RangeError('That is no key of an archive')
    return join(folder, `${key}${end}`)
  }
  return {
    async write(key, bytes) {
      const partial = pathOf(key, partialEnding)
      await mkdir(folder, { recursive: true, mode: 0o700 })
      try {
        const file = await open(partial, 'wx', 0o600)
        try {
          for await (const chunk of bytes) await file.writeFile(chunk)
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(partial, pathOf(key))
        await syncFolder(folder)
      } catch (error) {
        await rm(partial, { force: true }).catch(() => {})
        throw error
      }
    },
    async size(key) {
      return stat(pathOf(key)).then(
        ({ size }) => size,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOENT') return undefined
          throw error
        },
      )
    },
    read: (key, range) => createReadStream(pathOf(key), { ...range, highWaterMark: 1 << 18 }),
    async remove(key) {
      await rm(pathOf(key), { force: true })
      await rm(pathOf(key, partialEnding), { force: true })
    },
    async list() {
      const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return []
        throw error
      })
      const keys = names
        .filter((name) => name.endsWith(ending) || name.endsWith(partialEnding))
        .map((name) => name.slice(0, name.indexOf(ending)))
        .filter((key) => keyPattern.test(key))
      return [...new Set(keys)]
    },
  }
}
