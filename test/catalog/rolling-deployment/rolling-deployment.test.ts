import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { requirePermission, tenancyPlugin } from '../../../src/adapters/fastify/index.js'
import { migrateCatalog } from '../../../src/catalog/migrate.js'
import { readSqlFolder } from '../../../src/postgres/files/sql-files.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { type NodeProcess, startNode } from '../../support/processes/node-process.js'
import { testWith } from '../../support/requirements.js'
import { urlOf, withAdmin } from '../../support/server.js'
import { BuiltCommit, findPreviousCommit } from './previous-version.js'
import { useVersion } from './use-version.js'

/**
 * The file that compatibility starts with. A build without it, or with another one, refuses the catalog. Before the first
 * release, a new baseline changes this line; afterwards, nothing changes it.
 */
const baseline = {
  name: '0001_baseline.sql',
  checksum: 'c61c7fef1cdf873f3f87aba99fe487e8553261cc73896f7e26c1590a9f5cb083',
}

const migrations = fileURLToPath(new URL('../../../src/catalog/migrations', import.meta.url))
const versionProcess = 'test/catalog/rolling-deployment/version-process.js'
const codes = { invalid: 'TENANCY_CATALOG_MIGRATION_FAILED' } as const

let installation: Installation
let folder: string
let processes: NodeProcess[]

beforeEach(async () => {
  installation = createInstallation({ TENANT_SEED_PROFILE: 'dev' })
  folder = await mkdtemp(join(tmpdir(), 't2f-rolling-'))
  processes = []
})
afterEach(async () => {
  for (const child of processes) child.kill('SIGKILL')
  await Promise.all(processes.map((child) => child.ended))
  await installation.drop()
  await rm(folder, { recursive: true })
})

function start(...args: string[]): NodeProcess {
  // This folder has no `.env`.
  const child = startNode(args, { env: installation.env, cwd: folder })
  processes.push(child)
  return child
}

const ledger = async (): Promise<{ name: string; checksum: string }[]> =>
  withAdmin(
    async (admin) => (await admin.query('select name, checksum from schema_migrations order by version')).rows,
    installation.catalogName,
  )

test('the baseline that compatibility starts with was not edited, renamed or removed', async () => {
  const [first] = await readSqlFolder(migrations, codes)
  expect({ name: first?.name, checksum: first?.checksum }).toEqual(baseline)
})

const previous = findPreviousCommit()

testWith(
  'needs' in previous ? { isMet: false, need: previous.needs } : undefined,
  'The build of the commit before the last change of the migrations serves on the catalog of now; one from before the baseline refuses it',
  async () => {
    if ('needs' in previous) throw new Error(previous.needs)
    const built = new BuiltCommit(previous.commit)
    try {
      await (await installation.open()).close()
      const files = await ledger()
      const known = await readSqlFolder(join(built.folder, 'src/catalog/migrations'), codes)
      if (known[0]?.name === baseline.name && known[0].checksum === baseline.checksum) {
        const child = start(join(built.folder, versionProcess), 'previous')
        expect([await child.ended, child.stdout, child.stderr]).toEqual([0, 'served\n', expect.anything()])
        // This version keeps serving beside it.
        await useVersion(await installation.open(), { requirePermission, tenancyPlugin }, 'present')
      } else {
        // The commit that creates the baseline adds nothing to it, because no earlier build could prove that it survives the addition.
        expect(files).toEqual([baseline])
        const entry = JSON.stringify(pathToFileURL(join(built.folder, 'dist/index.js')).href)
        const child = start(
          '--input-type=module',
          '--eval',
          `const { createTenancy } = await import(${entry}); await createTenancy().catch((error) => console.log(error.code))`,
        )
        expect([await child.ended, child.stdout]).toEqual([0, 'TENANCY_CATALOG_MIGRATION_FAILED\n'])
      }
      expect(await ledger()).toEqual(files)
    } finally {
      built.remove()
    }
  },
)

test('a process that serves while the next version expands the catalog keeps serving, and another process of its version starts', async () => {
  const tenancy = await installation.open()
  await useVersion(tenancy, { requirePermission, tenancyPlugin }, 'before')
  await cp(migrations, folder, { recursive: true })
  // The number after the last file's: a number may be left out.
  const last = (await readSqlFolder(migrations, codes)).at(-1)?.version ?? 0
  const next = `${String(last + 1).padStart(4, '0')}_expand.sql`
  await writeFile(join(folder, next), await expansion())
  const catalog = new pg.Pool({ connectionString: urlOf(installation.catalogName) })
  try {
    expect(await migrateCatalog(catalog, folder)).toEqual([next])
  } finally {
    await catalog.end()
  }

  await useVersion(tenancy, { requirePermission, tenancyPlugin }, 'during')
  const child = start(fileURLToPath(new URL('./version-process.js', import.meta.url)), 'started')
  expect([await child.ended, child.stdout, child.stderr]).toEqual([0, 'served\n', expect.anything()])
})

/** Applies everything that the rule for expansions allows, on every table. */
async function expansion(): Promise<string> {
  const tables = await withAdmin(
    async (admin) =>
      (
        await admin.query<{ name: string }>(
          "select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'",
        )
      ).rows.map(({ name }) => name),
    installation.catalogName,
  )
  expect(tables.length).toBeGreaterThan(20)
  return [
    ...tables
      .filter((name) => name !== 'schema_migrations')
      .map(
        (name) =>
          `alter table ${name} add column next_note text, add column next_count integer not null default 1;
           create index on ${name} (next_count);`,
      ),
    'create table next_things (id uuid primary key references tenants on delete cascade);',
    'create function next_things_made() returns trigger language plpgsql as $$ begin return new; end $$;',
    'create trigger next_things_made before insert or update on users for each row execute function next_things_made();',
  ].join('\n')
}
