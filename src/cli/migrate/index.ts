import type { AnyCommand } from '../command.js'
import { acceptMigration } from './accept.js'
import { migrateDown } from './down.js'
import { lintMigrations } from './lint.js'
import { newMigration } from './new.js'
import { rehearseMigrations } from './rehearse.js'
import { migrationStatus } from './status.js'
import { migrateUp } from './up.js'

export const commands: readonly AnyCommand[] = [
  migrateUp,
  migrateDown,
  migrationStatus,
  newMigration,
  rehearseMigrations,
  lintMigrations,
  acceptMigration,
]
