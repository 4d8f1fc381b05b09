import { afterAll, beforeAll, expect, test } from 'vitest'
import { withAdmin } from '../support/server.js'
import { openInstallation, type TestInstallation } from './installation.js'
import { operations, schema } from './operations.js'
import { runWorkload } from './workload.js'

// The suite's run is short; `npm run soak -- isolation` sets these to a million over 200.
const count = Number(process.env['T2F_SOAK_OPERATIONS'] ?? 3000)
const isSoak = count > 10_000
const tenants = Number(process.env['T2F_SOAK_TENANTS'] ?? (isSoak ? 200 : 20))
const seed = Number(process.env['T2F_SEED'] ?? Math.floor(Math.random() * 1e6))
const maxConnections = isSoak ? 32 : 10

let installation: TestInstallation
beforeAll(async () => {
  installation = await openInstallation({
    count: tenants,
    schema,
    seed: ({ slug }) => `insert into notes (tenant) select '${slug}' from generate_series(1, 3)`,
    env: { TENANT_MAX_CONNECTIONS: String(maxConnections), TENANT_MAX_TENANT_CONNECTIONS: '3' },
  })
}, 900_000)
afterAll(() => installation?.close(), 900_000)

test(
  `${count} operations over ${tenants} tenants on ${maxConnections} connections read no foreign row and leave nothing in a session (T2F_SEED=${seed})`,
  { timeout: 86_400_000 },
  async () => {
    const { tenancy } = installation
    let peak = 0
    const watch = setInterval(() => (peak = Math.max(peak, tenancy.stats().open)), 5)
    const started = performance.now()
    const report = await runWorkload({
      installation,
      count,
      seed,
      workers: isSoak ? 32 : 16,
      onProgress: ({ operations: done, probes, rows, foreignRows, leaks, findings }) => {
        if (!isSoak) return
        const rate = (done / ((performance.now() - started) / 1000)).toFixed(0)
        console.log(
          `${done} of ${count} operations, ${rate}/s; ${probes} probes, ${rows} rows: ${foreignRows} foreign, ${leaks} leaks, ${findings.length} findings${findings.map((finding) => `\n  ${finding}`).join('')}`,
        )
      },
    })
    clearInterval(watch)
    const { byName, ...figures } = report
    console.log(
      JSON.stringify({
        seed,
        tenants,
        seconds: Math.round((performance.now() - started) / 1000),
        ...figures,
        stats: tenancy.stats(),
      }),
    )

    expect(report.findings, `T2F_SEED=${seed}`).toEqual([])
    expect([report.foreignRows, report.leaks]).toEqual([0, 0])
    expect(report.operations).toBe(count)
    // Sessions were searched, there was state to find, and every kind of operation took part.
    expect(report.reused).toBeGreaterThan(count / 20)
    expect(report.rows).toBeGreaterThan(count / 2)
    expect(Object.keys(byName)).toHaveLength(Object.keys(operations).length)
    expect(report.busy).toBeLessThan(count / 20)
    expect(peak).toBeLessThanOrEqual(maxConnections)
    await expect.poll(() => tenancy.stats().inUse, { timeout: 20_000 }).toBe(0)
    expect(tenancy.stats()).toMatchObject({ identityMismatches: 0, waiting: 0 })
  },
)

test('Every written row is in its own tenant’s database only', { timeout: 900_000 }, async () => {
  for (const { tenant, account } of installation.tenants) {
    const { rows } = await withAdmin(
      (admin) =>
        admin.query(
          'select distinct tenant from (select tenant from notes union all select tenant from journal union all select tenant from guarded) t',
        ),
      account.database,
    )
    expect(rows).toEqual([{ tenant: tenant.slug }])
  }
})
