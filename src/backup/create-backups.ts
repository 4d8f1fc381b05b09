import type { Backups } from '../core/backup/backup.js'
import { type BackupParts, createBackup } from './create-backup.js'
import { createRestore } from './create-restore.js'

/** Makes the functions that back up and restore tenants. */
export function createBackups(parts: BackupParts): Backups {
  return { backup: createBackup(parts), ...createRestore(parts) }
}
