import type { BackupProgress } from '../../index.js'
import type { CommandContext } from '../context.js'

/** Shows how many tables are done, on a terminal; gives what `onProgress` takes. */
export async function showBackupProgress(
  context: CommandContext,
  what: string,
): Promise<(progress: BackupProgress) => void> {
  const bar = await context.progress(what)
  return ({ tables, tablesDone }) => {
    if (tables > 0) bar.update(tablesDone, tables)
  }
}

/** Writes a number of bytes as people read it. */
export function bytesText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10))
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${units[power]}`
}
