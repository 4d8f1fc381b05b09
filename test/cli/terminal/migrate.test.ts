import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Tenancy, Tenant } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { runCommandLine } from '../../support/processes/command-line.js'
import { screenOf } from '../../support/processes/screen.js'
import { startInTerminal } from '../../support/processes/pseudo-terminal.js'
import { withAdmin } from '../../support/server.js'

const ctrlC = '\x03'
const hideCursor = '\x1B[?25l'
const showCursor = '\x1B[?25h'
const cutLines = '\x1B[?7l'
const wrapLines = '\x1B[?7h'
const count = 4

let installation: Installation
let folder: string
let tenancy: Tenancy
let tenants: Tenant[]
let newest = 1

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-terminal-migrate-'))
  // No unique key: a file that ran twice is there twice.
  await writeFile(join(folder, '0001_applied.sql'), 'create table applied (file int)')
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder, TENANT_SCHEMA_BEHIND: 'refuse' })
  tenancy = await installation.open()
  const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
  tenants = []
  for (let index = 1; index <= count; index += 1) {
    tenants.push(await tenancy.createTenant({ name: 'T', slug: `tenant-${index}`, owner }))
  }
})
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

const up = ['migrate', 'up', '--parallelism', '1', '--lock-timeout', '60000']
const here = () => ({ cwd: folder, env: installation.env })
const nameOf = ({ databaseId }: Tenant) => `${installation.prefix}${databaseId?.replaceAll('-', '')}`

/** Adds a file that waits, in the database of the third tenant, until `work` lets it run on. */
async function whileThirdWaits<Result>(
  work: (third: { waits(): Promise<void>; go(): Promise<void> }) => Promise<Result>,
) {
  newest += 1
  await writeFile(
    join(folder, `000${newest}_slow.sql`),
    `select pg_advisory_xact_lock(72); insert into applied values (${newest});`,
  )
  return withAdmin(async (client: pg.Client) => {
    await client.query('select pg_advisory_lock(72)')
    const waiting = `select from pg_locks where locktype = 'advisory' and objid = 72 and not granted
      and database = (select oid from pg_database where datname = current_database())`
    return work({
      waits: () => vi.waitFor(async () => expect((await client.query(waiting)).rows).toHaveLength(1), 60_000),
      go: async () => void (await client.query('select pg_advisory_unlock(72)')),
    })
  }, nameOf(tenants[2]!))
}

/** How often the newest file was applied, for each tenant. */
async function timesApplied(): Promise<number[]> {
  const times: number[] = []
  for (const tenant of tenants) {
    const { rows } = await withAdmin(
      (client) =>
        client.query<{ times: number }>('select count(*)::int as times from applied where file = $1', [newest]),
      nameOf(tenant),
    )
    times.push(rows[0]?.times ?? -1)
  }
  return times
}
/** What is on the screen at the end. */
const linesOf = ({ raw }: { readonly raw: string }) => screenOf(raw).filter((line) => line !== '')
const once = Array.from({ length: count }, () => 1)

test('A run shows how many tenants are done, how fast and for how long still, and then its report alone', async () => {
  const terminal = await whileThirdWaits(async (third) => {
    const started = startInTerminal(up, here())
    await started.shows(/Migrating \[█+░+\] 2\/4 {2}[\d.]+\/s {2}\d+ s left/)
    await third.waits()
    await third.go()
    return started
  })
  expect(await terminal.ended).toBe(0)
  // The bar is gone.
  expect(linesOf(terminal)).toEqual([
    expect.stringMatching(/^4 migrated to 2, 0 current, 0 failed, 0 skipped in \d+ m?s$/),
  ])
  expect(terminal.raw.lastIndexOf(showCursor)).toBeGreaterThan(terminal.raw.lastIndexOf(hideCursor))
  expect(await timesApplied()).toEqual(once)
})

test('Into a pipe there is no progress, and nothing that steers a terminal', async () => {
  newest += 1
  await writeFile(join(folder, `000${newest}_quick.sql`), `insert into applied values (${newest})`)
  const { code, stdout, stderr } = await runCommandLine(up, here())
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^4 migrated to 3, 0 current, 0 failed, 0 skipped in \d+ m?s\n$/)
})

test('Ctrl-C lets the tenant under way finish and says what is left; the next run goes on there', async () => {
  const terminal = await whileThirdWaits(async (third) => {
    const started = startInTerminal(up, here())
    await started.shows('2/4')
    await third.waits()
    started.type(ctrlC)
    await started.shows('Stopping at the next safe point. Press Ctrl-C again to end at once.')
    await third.go()
    return started
  })
  expect(await terminal.ended).toBe(130)
  // The terminal echoes the key before the bar, and clears it with the bar.
  expect(linesOf(terminal)).toEqual([
    'Stopping at the next safe point. Press Ctrl-C again to end at once.',
    expect.stringMatching(/^3 migrated to 4, 0 current, 0 failed/),
    'Interrupted: 1 tenant was not begun. Run the command again: it goes on where it stopped.',
  ])
  expect(await timesApplied()).toEqual([1, 1, 1, 0])
  expect(await runCommandLine(up, here())).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^1 migrated to 4, 3 current/),
  })
  expect(await timesApplied()).toEqual(once)
})

test('A second Ctrl-C ends at once and leaves the terminal as it was; the next run finishes, and applies nothing twice', async () => {
  const terminal = await whileThirdWaits(async (third) => {
    const started = startInTerminal(up, here())
    await started.shows('2/4')
    await third.waits()
    started.type(ctrlC)
    await started.shows('Stopping at the next safe point')
    started.type(ctrlC)
    // The third tenant still waits.
    expect(await started.ended).toBe(130)
    await third.go()
    return started
  })
  expect(linesOf(terminal)).toEqual(['Stopping at the next safe point. Press Ctrl-C again to end at once.'])
  for (const [off, on] of [
    [hideCursor, showCursor],
    [cutLines, wrapLines],
  ] as const) {
    expect(terminal.raw).toContain(off)
    expect(terminal.raw.lastIndexOf(on)).toBeGreaterThan(terminal.raw.lastIndexOf(off))
  }
  const { code, stdout } = await runCommandLine(up, here())
  expect([code, stdout]).toEqual([0, expect.stringMatching(/ 0 failed/)])
  expect(await timesApplied()).toEqual(once)
  expect(await tenancy.fleet.status()).toMatchObject({ versions: [{ version: newest, tenants: count }] })
})
