import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { cliReference, type RecordedRun } from '../../scripts/cli-docs/reference.js'
import { configTable, errorsTable, replaceTable } from '../../scripts/reference-tables.js'
import { settings } from '../../src/core/config/settings.js'
import { errorTable } from '../../src/core/errors/errors.js'

test.each([
  ['docs/config.md', configTable(settings)],
  ['docs/errors.md', errorsTable(errorTable)],
])('%s says what the code says (node scripts/reference-docs.js writes it)', (file, table) => {
  const page = readFileSync(file, 'utf8')
  expect(page).toBe(replaceTable(page, table))
})

test('docs/cli.md says what the commands say (node scripts/cli-docs.js writes it)', async () => {
  const page = readFileSync('docs/cli.md', 'utf8')
  const recorded = JSON.parse(readFileSync('scripts/cli-docs/recorded.json', 'utf8')) as RecordedRun[]
  expect(page).toBe(replaceTable(page, await cliReference(recorded)))
})

test('a page without its markers is an error, not a pass', () => {
  expect(() => replaceTable('no markers', 'table')).toThrow('markers')
})
