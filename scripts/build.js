// Compiles src/ to dist/ with plain tsc, and puts what code reads from files at run time into modules: a bundler takes
// modules along and knows nothing of files beside them.
import { execFileSync } from 'node:child_process'
import { chmodSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')

/** Files that the compiler or {@link embedMigrations} takes, and files that are for reading only. */
const isBuilt = (file) =>
  extname(file) === '.ts' ||
  /^catalog[\\/]migrations[\\/][^\\/]+\.sql$/.test(file) ||
  /^catalog[\\/](schema\.sql|migrations[\\/]README\.md)$/.test(file)

/** The module that reads the folder of migrations becomes one that holds what it would read. */
async function embedMigrations() {
  const { readSqlFolder } = await import(pathToFileURL(join(root, 'dist/postgres/files/sql-files.js')).href)
  const codes = { invalid: 'TENANCY_CATALOG_MIGRATION_FAILED' }
  const files = await readSqlFolder(join(root, 'src/catalog/migrations'), codes)
  if (files.length === 0) throw new Error('src/catalog/migrations has no migrations')
  const path = join(root, 'dist/catalog/shipped-migrations.js')
  rmSync(`${path}.map`)
  writeFileSync(
    path,
    `// Made by scripts/build.js from src/catalog/migrations.\nconst files = ${JSON.stringify(files, undefined, 2)}\n` +
      'export function shippedMigrations() {\n  return Promise.resolve(files)\n}\n',
  )
}

rmSync(join(root, 'dist'), { recursive: true, force: true })
execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { cwd: root, stdio: 'inherit' })
await embedMigrations()
// npm makes the program executable when it installs the package; a checkout has no such step.
chmodSync(join(root, 'dist/cli/main.js'), 0o755)

const left = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(join(root, 'src').length + 1))
  .filter((file) => !isBuilt(file))
if (left.length > 0)
  throw new Error(`files of src that no module holds, so that a bundle lacks them: ${left.join(', ')}`)
