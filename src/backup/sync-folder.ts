import { open } from 'node:fs/promises'

/** Writes the entries of a folder to the disk (`fsync`), so that a rename in it outlives a power failure. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
