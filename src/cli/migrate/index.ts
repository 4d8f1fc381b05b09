import type { AnyCommand } from '../command.js'
import { newMigration } from './new.js'
import { migrationStatus } from './status.js'
import { migrateUp } from './up.js'

export const commands: readonly AnyCommand[] = [migrateUp, migrationStatus, newMigration]
