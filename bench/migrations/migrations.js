// Schema changes for all tenants: nothing to apply, one ALTER TABLE, the check of every structure, and requests meanwhile.
//
//   T2F_BENCH_ROUNDS       rounds of each (default 3)
//   T2F_BENCH_PARALLELISM  tenants at a time, for all variants alike (default 4)
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { askChild, startChild, stopChild } from '../child.js'
import { figure, limit, median } from '../figures.js'
import { withFleet } from '../fleet/fleet.js'
import { openClient } from '../fleet/process.js'
import { nobodyConnected, sessionsOpened } from '../fleet/sampler.js'
import { makeSchemas } from '../fleet/schemas.js'
import { bareMigration, drizzleMigrator, fingerprintEach, milliseconds, onEach, psqlLoop } from './baselines.js'

const rounds = Number(process.env.T2F_BENCH_ROUNDS ?? 3)
const parallelism = Number(process.env.T2F_BENCH_PARALLELISM ?? 4)
const rows = 10_000
const requestsPerSecond = 100
const fewTenants = 100

export async function run() {
  const folder = mkdtempSync(join(tmpdir(), 't2f-migrations-'))
  try {
    return await withFleet(async (fleet) => {
      const release = createReleases(fleet, folder)
      const unchanged = await nothingToApply(fleet, release)
      const changed = await oneColumn(fleet, release, join(folder, 'drizzle'))
      const checked = await structures(fleet, release)
      return [...unchanged, ...changed, ...(await requestsMeanwhile(fleet, release)), ...checked]
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Releases of an application, each with one more column. A server that is kept has the columns of earlier runs. */
function createReleases(fleet, folder) {
  const schemaDir = join(folder, 'schema')
  cpSync(fileURLToPath(new URL('../fleet/schema', import.meta.url)), schemaDir, { recursive: true })
  const env = { ...fleet.env, TENANT_SCHEMA_DIR: schemaDir, TENANT_PROCESSES: '1', TENANT_MAX_CONNECTIONS: '20' }
  let number = 1
  return {
    column: () => `bench_${Date.now().toString(36)}_${number}`,
    /** Adds a file. */
    add(sql) {
      number += 1
      writeFileSync(join(schemaDir, `${String(number).padStart(4, '0')}_column.sql`), sql)
    },
    async open() {
      const program = new URL('process.js', import.meta.url)
      const child = await startChild(program, { execArgv: ['--expose-gc'], setup: { env } })
      return {
        ask: (command, options = {}) => askChild(child, { command, parallelism, ...options }),
        stop: () => stopChild(child),
        async close() {
          await stopChild(child)
          await nobodyConnected(fleet)
        },
      }
    },
  }
}

async function nothingToApply(fleet, release) {
  const own = await release.open()
  await own.ask('migrate')
  // The server reports the sessions of a backend when it ends.
  await nobodyConnected(fleet)
  const before = await sessionsOpened(fleet)
  const times = await repeat(5, () => own.ask('migrate'))
  const crowded = await withRows(fleet, () => repeat(5, () => own.ask('migrate')))
  const opened = (await sessionsOpened(fleet)) - before
  const verified = []
  const connected = []
  await inTurns(rounds, [
    async () => verified.push((await own.ask('migrate', { verify: true })).ms),
    async () => connected.push(await milliseconds(() => onEach(fleet, parallelism))),
  ])
  await own.close()
  const count = fleet.tenants.length
  const of = (results) => median(results.map(({ ms }) => ms))
  return [
    limit(`nothing to apply, ${count} tenants`, of(times), 'ms', 50, '50 ms', '<= 1'),
    limit(`nothing to apply, ${rows} rows more in the catalog`, of(crowded), 'ms', 50, '50 ms', '<= 1'),
    limit('nothing to apply, connections to tenants', opened, 'connections', 0, 'none', '0'),
    figure(`verify, ${count} tenants`, 'ms', 'connecting to each', verified, connected, '<= 1.3'),
  ]
}

/** Gives the catalog rows of tenants whose databases are nowhere, for a while. */
async function withRows(fleet, work) {
  const catalog = new pg.Client({ connectionString: new URL(`/${fleet.catalog}`, fleet.url).href })
  await catalog.connect()
  try {
    await catalog.query(
      `with model as (select server_id, schema_version from tenant_databases where state = 'assigned' limit 1), made as (
         insert into tenant_databases (id, server_id, name, role_name, state, schema_version)
         select gen_random_uuid(), server_id, 'bench_row_' || number, 'bench_row_' || number, 'assigned', schema_version
         from model, generate_series(1, $1::integer) as number returning id, name
       ) insert into tenants (id, slug, name, database_id) select gen_random_uuid(), replace(name, '_', '-'), name, id from made`,
      [rows],
    )
    await catalog.query('analyze tenants, tenant_databases')
    return await work()
  } finally {
    await catalog.query("delete from tenants where slug like 'bench-row-%'")
    await catalog.query("delete from tenant_databases where name like 'bench\\_row\\_%'")
    await catalog.end()
  }
}

async function oneColumn(fleet, release, folder) {
  const count = fleet.tenants.length
  const schemas = await makeSchemas(fleet, count)
  const drizzle = drizzleMigrator(schemas, folder, parallelism)
  drizzle.add('0000_first.sql', 'select 1')
  await drizzle.migrate()
  const times = { own: [], bare: [], psql: [], drizzle: [] }
  const memory = []
  let index = 0
  const own = async () => {
    release.add(addColumn(release.column()))
    const child = await release.open()
    try {
      // As before a real run: the process has found its template.
      await child.ask('migrate', { dryRun: true })
      const few = await child.ask('migrate', { tenants: fleet.tenants.slice(0, fewTenants).map(({ slug }) => slug) })
      const all = await child.ask('migrate')
      expectAll(few.counts.migrated + all.counts.migrated, count, few.firstError ?? all.firstError)
      // The hundred were migrated by themselves first: what they took counts, too.
      times.own.push(few.ms + all.ms)
      memory.push({ few: few.rssBytes, all: all.rssBytes })
    } finally {
      await child.close()
    }
  }
  // The others' columns go again: the check of the structures is of databases that are as the template.
  const drop = (name) => bareMigration(fleet, parallelism, `alter table items drop column ${name}`)
  const bare = async () => {
    const name = `${release.column()}_bare`
    times.bare.push(await milliseconds(() => bareMigration(fleet, parallelism, addColumn(name))))
    await drop(name)
  }
  const psql = async () => {
    const file = join(folder, '..', 'psql.sql')
    const name = `${release.column()}_psql`
    writeFileSync(file, addColumn(name))
    let isThere = true
    const ms = await milliseconds(async () => (isThere = await psqlLoop(fleet, file)))
    if (isThere) times.psql.push(ms)
    else console.error('psql is not on the PATH: its loop was not measured')
    if (isThere) await drop(name)
  }
  const rival = async () => {
    index += 1
    drizzle.add(`${String(index).padStart(4, '0')}_column.sql`, addColumn(release.column()))
    times.drizzle.push(await milliseconds(() => drizzle.migrate()))
  }
  await inTurns(rounds, [own, bare, psql, rival])
  const inverse = (baseline) => times.own.map((ms, round) => times[baseline][round] / ms)
  const ones = times.own.map(() => 1)
  const figures = [
    figure(`one column, ${count} tenants`, 'ms', 'the bare statements', times.own, times.bare, '<= 1.3'),
    figure('one column, how many times faster', 'times', 'drizzle-multitenant', inverse('drizzle'), ones, '>= 3'),
    limit(
      `resident memory, ${count} tenants`,
      median(memory.map(({ all }) => all)) / 1e6,
      'MB',
      median(memory.map(({ few }) => few)) / 1e6,
      `${Math.min(fewTenants, count)} tenants`,
      'flat',
    ),
  ]
  if (times.psql.length < rounds) return figures
  return [
    ...figures,
    figure('one column, how many times faster', 'times', 'a loop of psql -f', inverse('psql'), ones, '>= 3'),
  ]
}

const addColumn = (name) => `alter table items add column ${name} integer`

function expectAll(migrated, count, error) {
  if (migrated !== count) throw new Error(`${migrated} of ${count} tenants were migrated: ${error}`)
}

async function structures(fleet, release) {
  const own = await release.open()
  const times = []
  const bare = []
  await own.ask('migrate')
  await inTurns(rounds, [
    async () => {
      const { ms, counts } = await own.ask('check')
      if (counts.same !== fleet.tenants.length) throw new Error(`${counts.same} structures were the same`)
      times.push(ms)
    },
    async () => bare.push(await milliseconds(() => fingerprintEach(fleet, parallelism))),
  ])
  await own.close()
  return [figure(`check, ${fleet.tenants.length} databases`, 'ms', 'one fingerprint query each', times, bare, '<= 1.3')]
}

/** Requests of another process, before and while all tenants get a column. */
async function requestsMeanwhile(fleet, release) {
  const client = await openClient('tenants2fast', { env: fleet.env, tenants: fleet.tenants, connections: 50 })
  const classes = { all: { rate: requestsPerSecond, draw: 'zipf' } }
  const load = async (seconds) => (await client.run('open', { seconds, classes })).all
  const before = []
  const meanwhile = []
  let errors = 0
  let firstError
  try {
    await load(5)
    for (let round = 0; round < rounds; round += 1) {
      before.push((await load(8)).p99)
      release.add(addColumn(release.column()))
      const child = await release.open()
      const migrating = child.ask('migrate')
      const result = await load(8)
      expectAll((await migrating).counts.migrated, fleet.tenants.length)
      meanwhile.push(result.p99)
      errors += result.errors
      firstError ??= result.firstError
      await child.stop()
    }
  } finally {
    await client.close()
    await nobodyConnected(fleet)
  }
  if (errors > 0) console.error(`first error of a request: ${firstError}`)
  return [
    figure('p99 of requests while tenants are migrated', 'ms', 'before', meanwhile, before, '<= 2'),
    limit('requests that failed meanwhile', errors, 'errors', 0, 'none', '0'),
  ]
}

async function repeat(times, work) {
  const results = []
  for (let index = 0; index < times; index += 1) results.push(await work())
  return results
}

/** Each round takes the others' turns in the opposite order of the one before. */
async function inTurns(count, works) {
  for (let round = 0; round < count; round += 1) {
    for (const work of round % 2 === 0 ? works : works.toReversed()) await work()
  }
}
