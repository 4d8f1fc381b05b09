import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTenantDatabase, type TestTenantDatabase } from '../connections/tenant-database.js'

const page = readFileSync('docs/pools.md', 'utf8')
let database: TestTenantDatabase

beforeAll(async () => {
  database = await createTenantDatabase()
})
afterAll(() => database.drop())

test('the Drizzle example runs on a tenant pool, transactions on one connection of it', async () => {
  const example = /<!-- example: .* -->\n```js\n([^]*?)```/.exec(page)?.[1]
  expect(example).toContain('drizzle(pool)')
  const fromDist = (path: string) => JSON.stringify(new URL(`../../dist/${path}`, import.meta.url).href)
  const program = `${example ?? ''}
    import { createConnectionScheduler } from ${fromDist('connections/scheduler.js')}
    import { runWithContext } from ${fromDist('core/context/request-scope.js')}
    const target = JSON.parse(process.env.TARGET)
    const scheduler = createConnectionScheduler({ maxConnectionsPerTenant: 1 })
    const context = { pool: () => scheduler.pool('t', async () => target) }
    await runWithContext(context, async () => {
      const [renamed] = await renameItem(1, 'renamed')
      const failed = await getTenantDb()
        .transaction(async (tx) => {
          await tx.update(items).set({ name: 'undone' }).where(eq(items.id, 1))
          throw new Error('on purpose')
        })
        .catch((error) => error.message)
      const [after] = await getTenantDb().select().from(items).where(eq(items.id, 1))
      const same = getTenantDb() === getTenantDb()
      process.stdout.write(JSON.stringify({ renamed, failed, after, same, opened: scheduler.stats().opened }))
    })
    await scheduler.close()`
  const env = { ...process.env, TARGET: JSON.stringify(database.target) }
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  expect(await once(child, 'close')).toEqual([0, null])
  const item = { id: 1, name: 'renamed' }
  expect(JSON.parse(output)).toEqual({ renamed: item, failed: 'on purpose', after: item, same: true, opened: 1 })
})

test('every test that docs/pools.md names exists', () => {
  const folder = 'test/connections'
  const titles = readdirSync(folder)
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => readFileSync(`${folder}/${file}`, 'utf8').replaceAll('’', "'").toLowerCase())
    .join('\n')
  const named = [...page.slice(page.indexOf("node-postgres's own tests")).matchAll(/"([^"]+)"/g)].map(
    ([, title]) => title ?? '',
  )
  expect(named.length).toBeGreaterThan(30)
  const beginnings = named.map((title) => title.replace(/…$/, '').toLowerCase())
  expect(beginnings.filter((beginning) => !titles.includes(beginning))).toEqual([])
})
