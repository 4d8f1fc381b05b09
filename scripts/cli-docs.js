// Writes the reference of docs/cli.md from the definitions of the commands and from runs that were recorded. Run it after a build;
// a test fails when the page differs from what this writes. `--record` runs the commands of scripts/cli-docs/session.js on an
// embedded server, in a terminal, and keeps what they write in scripts/cli-docs/recorded.json.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cliReference } from './cli-docs/reference.js'
import { record } from './cli-docs/session.js'
import { replaceTable } from './reference-tables.js'

const path = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url))
const recordedPath = path('cli-docs/recorded.json')
const page = path('../docs/cli.md')

if (process.argv.includes('--record')) writeFileSync(recordedPath, `${JSON.stringify(await record(), null, 2)}\n`)
const recorded = JSON.parse(readFileSync(recordedPath, 'utf8'))
writeFileSync(page, replaceTable(readFileSync(page, 'utf8'), await cliReference(recorded)))
