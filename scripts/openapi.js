// Writes docs/openapi.json, the document of the management API with the default TENANT_URL_PREFIX and the platform's operations. `--check` compares only.
import { readFileSync, writeFileSync } from 'node:fs'
import { createDocument } from '../dist/api/document.js'
import { operations, platformOperations } from '../dist/api/operations/index.js'

const file = new URL('../docs/openapi.json', import.meta.url)
const served = [...operations, ...platformOperations].map((operation) => ({ operation, path: operation.path }))
const text = `${JSON.stringify(createDocument(served, { title: 'Organisations', version: '1' }), null, 2)}\n`
if (!process.argv.includes('--check')) writeFileSync(file, text)
else if (readFileSync(file, 'utf8') !== text) {
  console.error('docs/openapi.json is not what the operations say: npm run build && node scripts/openapi.js')
  process.exit(1)
}
