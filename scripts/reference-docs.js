// Writes the tables of docs/config.md and docs/errors.md from the code, between their markers. A test fails when
// they differ from what this script writes.
import { readFileSync, writeFileSync } from 'node:fs'
import { settings } from '../dist/core/config/settings.js'
import { errorTable } from '../dist/core/errors/errors.js'
import { configTable, errorsTable, replaceTable } from './reference-tables.js'

for (const [file, table] of [
  ['docs/config.md', configTable(settings)],
  ['docs/errors.md', errorsTable(errorTable)],
]) {
  writeFileSync(file, replaceTable(readFileSync(file, 'utf8'), table))
}
