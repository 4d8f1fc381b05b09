import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createInstallation, type Installation } from '../databases/fixture.js'
import { CompiledProgram } from '../support/processes/compiled-program.js'
import { type PgProxy, startPgProxy, type StatementPhase } from '../support/proxies/pg-proxy.js'
import { testServer, withAdmin } from '../support/server.js'
import { findDamage, findViolations } from './invariants.js'
import type { LifecycleOrders, LifecycleReport } from './lifecycle-process.js'
import { randomFrom } from './random.js'

// `npm run soak -- faults` sets both.
const runs = Number(process.env['T2F_FAULT_RUNS'] ?? 30)
const firstSeed = Number(process.env['T2F_FAULT_SEED'] ?? 1)
/** The goal is 30 s, which the soak holds it to; a machine that is busy with other tests may take several times as long. */
const convergeMs = Number(process.env['T2F_FAULT_CONVERGE_MS'] ?? 150_000)

let program: CompiledProgram
let installation: Installation
let owner: string

beforeAll(async () => {
  program = new CompiledProgram('test/faults/lifecycle-process.ts')
  installation = await createInstallation()
  await installation.writeSchema('0001_marks.sql', 'create table marks (tenant_id uuid not null)')
  owner = await installation.createUser()
})
afterAll(async () => {
  program.remove()
  await installation.drop()
})

/** A process of the installation, behind a proxy of its own. */
interface Process {
  readonly child: ChildProcess
  readonly proxy: PgProxy
  readonly exited: Promise<unknown>
  readonly reports: LifecycleReport[]
}

async function start(orders: Omit<LifecycleOrders, 'owner'>, retentionDays: number): Promise<Process> {
  const { host, port, user, password, database } = await testServer()
  const proxy = await startPgProxy({ upstream: { host, port } })
  const child = fork(program.path, [JSON.stringify({ owner, ...orders } satisfies LifecycleOrders)], {
    execArgv: [],
    env: {
      PATH: process.env['PATH'],
      TENANT_DATABASE_URL: `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${proxy.port}/${database}`,
      TENANT_CATALOG_DB: installation.catalog.databaseName,
      TENANT_DB_PREFIX: installation.prefix,
      TENANT_SECRET: installation.secret.toString('hex'),
      TENANT_SCHEMA_DIR: installation.schemaDir,
      TENANT_READY_DATABASES: '1',
      TENANT_RETENTION_DAYS: String(retentionDays),
    },
  })
  const reports: LifecycleReport[] = []
  child.on('message', (report) => void reports.push(report as LifecycleReport))
  return { child, proxy, exited: once(child, 'close'), reports }
}

/** Ends a process the hard way, waits for what it still said, and says how it ended. */
async function end({ child, exited, proxy }: Process): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  await exited
  await proxy.close()
}

const terminate = (pids: readonly number[]) =>
  withAdmin((admin) => admin.query('select pg_terminate_backend(pid) from unnest($1::int[]) as pid', [pids]))

/** Ids of tenants that somebody was told of and nobody has begun to purge. */
const alive = new Set<string>()

/** Hears what the processes said: first who was made, in whatever process, then who may be gone. */
function take(reports: readonly LifecycleReport[]): void {
  for (const report of reports) if (report.kind === 'marked') alive.add(report.id)
  for (const report of reports) if (report.kind === 'ending') alive.delete(report.id)
  expect(reports.filter((report) => report.kind === 'unexpected')).toEqual([])
}

const place = () => ({ catalog: installation.catalog.pool, prefix: installation.prefix, withAdmin })

/**
 * Reconciles until nothing is wrong any more, and tells how long it took; what is still wrong after `convergeMs` fails the
 * test, and so does any damage. `inspected`: see `findDamage`.
 */
async function converge(inspected?: Set<string>): Promise<number> {
  const { databases } = installation.open()
  const startedMs = Date.now()
  let violations: string[]
  do {
    await databases.reconcile()
    violations = await findViolations(place(), alive)
    if (violations.length > 0) await sleep(200)
  } while (violations.length > 0 && Date.now() - startedMs < convergeMs)
  const tookMs = Date.now() - startedMs
  expect(violations).toEqual([])
  await databases.close()
  expect(await findDamage(place(), alive, inspected)).toEqual([])
  return tookMs
}

/** How many statements the script takes when nobody disturbs it. */
async function measureScript(): Promise<number> {
  const undisturbed = await start({ slugs: ['measured'], mode: 'script', seed: 1 }, 0)
  const [code] = (await undisturbed.exited) as [number | null]
  await end(undisturbed)
  expect(undisturbed.reports.map((report) => report.kind)).toContain('done')
  expect(code).toBe(0)
  take(undisturbed.reports)
  await converge()
  return undisturbed.proxy.statements
}

const phases: readonly StatementPhase[] = ['before', 'sent', 'after']

test(
  `killed at every boundary of a statement and at random, with another process at it: ${runs} runs`,
  async () => {
    // The first one builds the template as well.
    await measureScript()
    const statements = await measureScript()
    let slowestMs = 0
    let cut = 0
    // To look into hundreds of databases takes longer than a run: into all of them every 25 runs, else into new ones.
    const inspected = new Set<string>()
    for (let run = 0; run < runs; run += 1) {
      const random = randomFrom(firstSeed * 10_000 + run)
      const phase = phases[run % 3]
      // In 30 runs the boundaries are apart, in 500 they are all of them.
      const target = 1 + Math.floor((Math.floor(run / 3) * statements) / Math.ceil(runs / 3))
      const victim = run % 2 === 0 ? 'process' : 'backend'
      // A schema that changes now and then, so that the template is built under fire, too.
      if (run % 5 === 4)
        await installation.writeSchema(`${String(run).padStart(4, '0')}_more.sql`, `create table more_${run} ()`)
      const retentionDays = run % 4 === 1 ? 0 : 30
      const scripted = await start({ slugs: [`script-${run % 7}`], mode: 'script', seed: run }, retentionDays)
      // Every third rival is after the very tenant that the script is at.
      const slugs = run % 3 === 0 ? [`script-${run % 7}`] : ['one-one', 'two-two', `script-${run % 7}`]
      const rival = await start({ slugs, mode: 'random', seed: firstSeed + run }, 30)
      scripted.proxy.onBoundary = async (boundary) => {
        if (boundary.statement !== target || boundary.phase !== phase) return
        cut += 1
        if (victim === 'process') scripted.child.kill('SIGKILL')
        if (victim === 'process') await new Promise(() => {})
        else if (boundary.pid !== undefined) await terminate([boundary.pid])
      }
      const deadline = sleep(20_000, undefined, { ref: false })
      const shooting = new AbortController()
      const shots = (async () => {
        while (!shooting.signal.aborted) {
          await sleep(10 + random() * 150)
          const pids = rival.proxy.pids
          const pid = pids[Math.floor(random() * pids.length)]
          if (pid !== undefined && random() < 0.3) await terminate([pid])
        }
      })()
      await Promise.race([scripted.exited, deadline])
      await sleep(random() * 300)
      await end(rival)
      shooting.abort()
      await shots
      await end(scripted)
      expect(rival.child.signalCode, 'nothing but our signal ends a process').toBe('SIGKILL')
      if (victim === 'backend') expect([scripted.child.exitCode, run]).toEqual([0, run])
      take([...scripted.reports, ...rival.reports])
      if (run % 25 === 24 || run === runs - 1) inspected.clear()
      slowestMs = Math.max(slowestMs, await converge(inspected))
      if (run % 25 === 24) console.log(`${run + 1} of ${runs} runs, ${cut} cut, slowest convergence ${slowestMs} ms`)
    }
    console.log(`${runs} runs over ${statements} statements, ${cut} cut; the slowest convergence took ${slowestMs} ms`)
    expect(cut).toBeGreaterThan(runs / 2)
  },
  60_000 + runs * (30_000 + convergeMs),
)

/** Waits, and does nothing, until nothing is wrong any more. */
async function watchConverge(): Promise<void> {
  const startedMs = Date.now()
  let violations = await findViolations(place(), alive)
  while (violations.length > 0 && Date.now() - startedMs < convergeMs) {
    await sleep(250)
    violations = await findViolations(place(), alive)
  }
  expect(violations).toEqual([])
  expect(await findDamage(place(), alive)).toEqual([])
}

test(
  'what a killed process leaves is cleared away by another one that nobody asks',
  async () => {
    const survivor = await start({ slugs: [], mode: 'idle', seed: 1 }, 30)
    await vi.waitFor(() => expect(survivor.reports).toContainEqual({ kind: 'open' }), 30_000)
    const texts = ['create role', 'create database', "set state = 'ready'", 'drop database']
    const victims = texts.map(async (text, index) => {
      const victim = await start({ slugs: [`killed-${index}`], mode: 'script', seed: 1 }, 30)
      victim.proxy.onBoundary = async (boundary) => {
        if (boundary.phase !== 'sent' || !boundary.text.includes(text)) return
        victim.child.kill('SIGKILL')
        await new Promise(() => {})
      }
      await victim.exited
      await end(victim)
      expect(victim.child.signalCode, text).toBe('SIGKILL')
      take(victim.reports)
    })
    await Promise.all(victims)
    await watchConverge()
    await end(survivor)
    take(survivor.reports)
    await converge()
  },
  60_000 + 5 * convergeMs,
)

test(
  'processes that are stopped in the middle of their work and wake up later can do nothing any more',
  async () => {
    const survivor = await start({ slugs: [], mode: 'idle', seed: 1 }, 30)
    await vi.waitFor(() => expect(survivor.reports).toContainEqual({ kind: 'open' }), 30_000)
    const places: [string, StatementPhase][] = [
      ['create database', 'before'],
      ["set state = 'ready'", 'before'],
      ['drop database', 'before'],
      // In the middle of a transaction of the catalog.
      ["set status = 'deleted'", 'after'],
    ]
    const asleep = await Promise.all(
      places.map(async ([text, phase], index) => {
        const stopped = await start({ slugs: [`asleep-${index}`], mode: 'script', seed: 1 }, 30)
        let fallAsleep = () => {}
        let wake = () => {}
        const isAsleep = new Promise<void>((resolve) => (fallAsleep = resolve))
        const isAwake = new Promise<void>((resolve) => (wake = resolve))
        let isDone = false
        stopped.proxy.onBoundary = async (boundary) => {
          if (boundary.phase !== phase || !boundary.text.includes(text) || isDone) return
          isDone = true
          stopped.child.kill('SIGSTOP')
          fallAsleep()
          await isAwake
        }
        return { ...stopped, text, isAsleep, wake }
      }),
    )
    for (const { text, isAsleep, exited, reports } of asleep) {
      const fell = await Promise.race([isAsleep.then(() => 'asleep'), exited])
      expect(fell, `"${text}" was not reached: ${JSON.stringify(reports)}`).toBe('asleep')
    }
    await watchConverge()
    for (const { child, wake } of asleep) {
      wake()
      child.kill('SIGCONT')
    }
    for (const stopped of asleep) {
      expect(await stopped.exited).toEqual([0, null])
      await end(stopped)
    }
    await end(survivor)
    take([...asleep, survivor].flatMap(({ reports }) => reports))
    await converge()
  },
  60_000 + 5 * convergeMs,
)
