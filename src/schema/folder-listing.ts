import { join } from 'node:path'
import { listFolder } from '../postgres/files/sql-folder.js'
import type { MigrationSetCodes } from './migration-set.js'

/** What is in a folder of migrations. */
export interface FolderListing {
  readonly path: string
  /** Names of its files, in order. */
  readonly files: readonly string[]
  /** Its folders, in order, with the names of their files. */
  readonly folders: readonly { readonly name: string; readonly files: readonly string[] }[]
}

/** @throws {@link TenancyError} `codes.invalid`: the folder cannot be read */
export async function readListing(path: string, codes: MigrationSetCodes): Promise<FolderListing> {
  const entries = await listFolder(path, codes)
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  return {
    path,
    files: entries
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name)
      .toSorted(),
    folders: await Promise.all(
      folders.toSorted().map(async (name) => ({
        name,
        files: (await listFolder(join(path, name), codes)).map((entry) => entry.name).toSorted(),
      })),
    ),
  }
}
