import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { repository, startNode } from '../support/processes/node-process.js'
import { seededRandom } from '../support/seeded-random.js'
import { type CrowdedServer, startCrowdedServer } from './crowded-server.js'

// `npm run soak -- fleet` sets the first two.
const runs = Number(process.env['T2F_FLEET_RUNS'] ?? 8)
const tenants = Number(process.env['T2F_FLEET_TENANTS'] ?? 16)
const seed = Number(process.env['T2F_FLEET_SEED'] ?? 1)
const parallelism = 4
const fullForMs = 1000

let server: CrowdedServer
let folder: string

beforeAll(
  async () => {
    folder = await mkdtemp(join(tmpdir(), 't2f-fleet-soak-'))
    // No unique key: a file that ran twice is there twice. A sequence keeps what a transaction that is rolled back took from it.
    await addFile(1, 'create table applied (file int not null); create sequence tries;')
    server = await startCrowdedServer({ TENANT_SCHEMA_DIR: folder })
    const tenancy = await server.open()
    await server.createTenants(tenancy, tenants)
    await tenancy.close()
  },
  60_000 + tenants * 3000,
)
afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true })
})

const addFile = (number: number, sql: string) =>
  writeFile(
    join(folder, `${String(number).padStart(4, '0')}_run.sql`),
    `${sql} insert into applied values (${number});`,
  )

/** Fails in every tenant's database, and leaves a trace there. */
const failing = `select nextval('tries'); do $$ begin if current_database() !~ 'template' then raise exception 'planned'; end if; end $$;`

/** What a runner says at its end. */
interface RunnerReport {
  readonly migrated: number
  readonly current: number
  readonly failed: number
  readonly remaining: number
  readonly stopped?: string | null
  readonly failures: readonly { readonly code: string; readonly message: string }[]
}

const options = { stopAfter: 1, parallelism }
const library = `
  import { createTenancy } from ${JSON.stringify(join(repository, 'dist/index.js'))}
  const tenancy = await createTenancy()
  const { failures, ...report } = await tenancy.fleet.migrate(${JSON.stringify(options)})
  const named = failures.map(({ error: { code, message } }) => ({ code, message }))
  console.log(JSON.stringify({ ...report, failures: named }))
  await tenancy.close()`
const words = ['migrate', 'up', '--json', '--stop-after', '1', '--parallelism', String(parallelism)]

/** Starts a runner: a program that calls `fleet.migrate`, or the command line. */
function startRunner(isCommandLine: boolean) {
  const env = { ...server.env, NODE_ENV: 'production' }
  const child = isCommandLine
    ? startNode([join(repository, 'dist/cli/main.js'), ...words], { env, cwd: folder })
    : startNode([], { env, program: library })
  const startedMs = performance.now()
  const ended = child.ended.then((ending) => ({ ending, tookMs: performance.now() - startedMs }))
  return { child, ended }
}

const reportOf = (stdout: string) => JSON.parse(stdout.slice(stdout.indexOf('{'))) as RunnerReport

/** Tenants by the number of times that the failing files were begun in each. */
async function triesOfEach(): Promise<Map<string, number>> {
  const tries = await server.inEach(async (client, { slug }) => {
    const { rows } = await client.query<{ count: number }>(
      'select case when is_called then last_value else 0 end::int as count from tries',
    )
    return [slug, rows[0]?.count ?? 0] as const
  })
  return new Map(tries)
}

/** Tenants that the catalog does not know at this version. */
async function behind(version: number): Promise<number> {
  const { rows } = await server.catalog.query<{ count: number }>(
    "select count(*)::int as count from tenant_databases where state = 'assigned' and schema_version is distinct from $1",
    [version],
  )
  return rows[0]?.count ?? -1
}

/** A moment in a run: when so many tenants are done, or after so much of the usual time. */
interface Moment {
  readonly isByWork: boolean
  readonly share: number
}

interface RunUnderWay {
  readonly version: number
  readonly usualMs: number
  readonly isOver: () => boolean
  readonly over: Promise<unknown>
}

/** Resolves when the moment has come, or the run is over. */
async function reach({ isByWork, share }: Moment, { version, usualMs, isOver, over }: RunUnderWay): Promise<void> {
  if (!isByWork) return void (await Promise.race([over, sleep(share * usualMs)]))
  while (!isOver() && (await behind(version)) > share * tenants) await sleep(5)
}

test(
  'Whatever is killed, runs beside it or is full: each file is applied once to each tenant, and none is left out',
  async () => {
    const random = seededRandom(seed)
    const counts = {
      ...{ runs, tenants, runners: 0, killed: 0, killedAtWork: 0, finished: 0, inPairs: 0, full: 0, refusedAtStart: 0 },
      ...{ failingFiles: 0, mostTouched: 0, migrated: 0 },
    }
    let usualMs = 3000
    let lastTries = await triesOfEach()
    const startedMs = performance.now()
    // The last run is undisturbed: it finishes what the others left.
    for (let run = 0; run <= runs; run += 1) {
      const version = run + 2
      const isLast = run === runs
      const isFailing = !isLast && run % 8 === 3
      const isFull = !isLast && run % 4 === 1
      // Of runners with a failing file one at least comes to its end.
      const killed = [0, 1].map((index) => random() < 0.5 && !isLast && !(isFailing && index === 0))
      const kinds = random() < 0.8 ? [random() < 0.5, random() < 0.5] : [random() < 0.5]
      const moments = [0, 1, 2].map(() => ({ isByWork: random() < 0.5, share: random() }))
      await addFile(version, isFailing ? failing : '')

      const runners = kinds.map((isCommandLine) => startRunner(isCommandLine))
      counts.runners += runners.length
      if (runners.length > 1) counts.inPairs += 1
      const work = runners.map(async ({ child, ended }, index) => {
        let isOver = false
        const over = ended.then(() => (isOver = true))
        if (killed[index] === true) {
          await reach(moments[index]!, { version, usualMs, isOver: () => isOver, over })
          if (!isOver) child.kill('SIGKILL')
          const left = await behind(version)
          if (!isOver && left > 0 && left < tenants) counts.killedAtWork += 1
        }
        return ended
      })
      const filling = (async () => {
        if (!isFull) return
        const over = Promise.all(runners.map(({ ended }) => ended))
        let isOver = false
        void over.then(() => (isOver = true))
        await reach(moments[2]!, { version, usualMs, isOver: () => isOver, over })
        const crowd = await server.fill()
        await sleep(fullForMs)
        await crowd.release()
        counts.full += 1
      })()
      const endings = await Promise.all(work)
      await filling

      let hasFinished = false
      for (const [index, { ending, tookMs }] of endings.entries()) {
        const { stdout, stderr } = runners[index]!.child
        const said = `run ${run}, seed ${seed}: ${String(ending)}\n${stdout}\n${stderr}`
        if (ending === 'SIGKILL') {
          counts.killed += 1
          continue
        }
        // The server was full before the run began: it ends at once, with a code, and did nothing.
        if (stdout === '' || !stdout.includes('"migrated"')) {
          expect(isFull, said).toBe(true)
          expect(stderr, said).toContain('TENANCY_CATALOG_UNAVAILABLE')
          counts.refusedAtStart += 1
          continue
        }
        const report = reportOf(stdout)
        counts.migrated += report.migrated
        if (isFailing) {
          for (const { code, message } of report.failures) {
            expect([code, message], said).toEqual([
              'TENANCY_DATABASE_SCHEMA_FAILED',
              expect.stringContaining('planned'),
            ])
          }
          continue
        }
        expect(report, said).toMatchObject({ failed: 0, remaining: 0, failures: [] })
        expect([ending, report.stopped ?? null], said).toEqual([0, null])
        counts.finished += 1
        hasFinished = true
        if (!isFull) usualMs = usualMs * 0.7 + tookMs * 0.3
      }
      const left = await behind(version)
      if (hasFinished) expect(left, `run ${run}, seed ${seed}`).toBe(0)
      if (isFailing) {
        counts.failingFiles += 1
        const tries = await triesOfEach()
        const touched = [...tries].filter(([slug, count]) => count > (lastTries.get(slug) ?? 0)).length
        lastTries = tries
        counts.mostTouched = Math.max(counts.mostTouched, touched)
        expect(touched, `run ${run}, seed ${seed}`).toBeGreaterThan(0)
        expect(touched, `run ${run}, seed ${seed}`).toBeLessThanOrEqual(parallelism * runners.length)
        expect(left).toBe(tenants)
        await addFile(version, '')
      }
      if (run % 10 === 9) console.log(`${run + 1} of ${runs} runs, ${Math.round(usualMs)} ms each`, counts)
    }

    const version = runs + 2
    const expected = Array.from({ length: version }, (_, index) => ({ file: index + 1, times: 1 }))
    const found = { twice: 0, skipped: 0, otherVersion: 0, ledgers: 0 }
    await server.inEach(async (client, { schemaVersion }) => {
      const { rows } = await client.query<{ file: number; times: number }>(
        'select file, count(*)::int as times from applied group by file order by file',
      )
      const ledger = await client.query<{ version: number; files: number }>(
        'select max(version)::int as version, count(*)::int as files from tenants2fast.schema_migrations',
      )
      found.ledgers += 1
      found.twice += rows.filter(({ times }) => times > 1).length
      found.skipped += expected.length - rows.length
      if (ledger.rows[0]?.version !== schemaVersion || ledger.rows[0]?.files !== version) found.otherVersion += 1
    })
    const failures = await server.catalog.query('select from tenant_migration_failures')
    console.log({ ...counts, ...found, seconds: Math.round((performance.now() - startedMs) / 1000), seed })
    expect(found).toEqual({ twice: 0, skipped: 0, otherVersion: 0, ledgers: tenants })
    expect(failures.rowCount).toBe(0)
    expect(counts.finished).toBeGreaterThan(0)
  },
  120_000 + runs * 60_000,
)
