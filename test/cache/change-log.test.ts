import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createChangeLog } from '../../src/catalog/change-log.js'
import type { ChangeLog } from '../../src/core/change-log.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'

let catalog: TestDatabase
let log: ChangeLog
beforeAll(async () => {
  catalog = await createTestCatalog()
  log = createChangeLog(catalog.pool)
})
afterAll(() => catalog.drop())

const look = () => log.readChanges(undefined)

async function addUser(): Promise<string> {
  const { rows } = await catalog.pool.query<{ id: string }>(
    "insert into users (email, access_epoch) values (gen_random_uuid() || '@example.com', 1) returning id",
  )
  return rows[0]!.id
}
const bump = 'update users set token_epoch = token_epoch + 1 where id = $1'

test('the first poll returns a position to continue from and no changes', async () => {
  await catalog.pool.query('select bump_rules_epoch()')
  expect((await look()).changes).toEqual([])
})

test('the table of changes holds the texts of the notifications, for raw SQL and deleted rows as well', async () => {
  const id = await addUser()
  const tenant = 'aaaaaaaa-0000-4000-8000-000000000000'
  await catalog.pool.query("insert into tenants (id, slug, name, access_epoch) values ($1, 'acme', 'Acme', 1)", [
    tenant,
  ])
  const { snapshot } = await look()
  await catalog.pool.query(bump, [id])
  await catalog.pool.query('insert into user_tenants (user_id, tenant_id) values ($1, $2)', [id, tenant])
  await catalog.pool.query("update tenants set status = 'suspended' where id = $1", [tenant])
  await catalog.pool.query('delete from users where id = $1', [id])
  await catalog.pool.query('select bump_rules_epoch()')
  const { changes } = await log.readChanges(snapshot)
  expect(changes).toEqual([`u:${id}:2`, `u:${id}:3`, `t:${tenant}:2`, `u:${id}:4`, expect.stringMatching(/^r:\d+$/)])
})

test('a change of one membership names its tenant, and its end is a single change', async () => {
  const id = await addUser()
  const tenant = 'bbbbbbbb-0000-4000-8000-000000000000'
  await catalog.pool.query("insert into tenants (id, slug, name, access_epoch) values ($1, 'globex', 'Globex', 1)", [
    tenant,
  ])
  const join = 'insert into user_tenants (user_id, tenant_id) values ($1, $2)'
  const assign = 'insert into user_tenant_roles select $1, $2, id from roles where tenant_id is null limit 1'
  await catalog.pool.query("insert into roles (name) values ('Keeper')")
  const { snapshot } = await look()
  for (const text of [
    join,
    assign,
    'update user_tenants set is_active = false where (user_id, tenant_id) = ($1, $2)',
    'update user_tenants set is_active = true where (user_id, tenant_id) = ($1, $2)',
    'delete from user_tenants where (user_id, tenant_id) = ($1, $2)',
    join,
    assign,
    'delete from user_tenant_roles where (user_id, tenant_id) = ($1, $2)',
  ]) {
    await catalog.pool.query(text, [id, tenant])
  }
  expect((await log.readChanges(snapshot)).changes).toEqual([
    `u:${id}:2`,
    `u:${id}:3:${tenant}`,
    `u:${id}:4:${tenant}:ended`,
    `u:${id}:5`,
    `u:${id}:6:${tenant}:ended`,
    `u:${id}:7`,
    `u:${id}:8:${tenant}`,
    `u:${id}:9:${tenant}`,
  ])
})

test('a new member with roles is one change of the whole user, and roles of another transaction are a change of their own', async () => {
  const [id, other] = [await addUser(), await addUser()]
  const tenant = 'cccccccc-0000-4000-8000-000000000000'
  await catalog.pool.query("insert into tenants (id, slug, name, access_epoch) values ($1, 'initech', 'Initech', 1)", [
    tenant,
  ])
  await catalog.pool.query("insert into roles (name) values ('Reader')")
  const join = 'insert into user_tenants (user_id, tenant_id) values ($1, $2)'
  const assign = 'insert into user_tenant_roles select $1, $2, id from roles where tenant_id is null'
  const { snapshot } = await look()
  const client = await catalog.pool.connect()
  await client.query('begin')
  await client.query(join, [id, tenant])
  await client.query(`${assign} and name = 'Reader'`, [id, tenant])
  await client.query('commit')
  // A membership of a savepoint announces its roles once more: that is never too little.
  await client.query('begin; savepoint inner_one')
  await client.query(join, [other, tenant])
  await client.query('release inner_one')
  await client.query(`${assign} and name = 'Reader'`, [other, tenant])
  await client.query('commit')
  client.release()
  await catalog.pool.query(`${assign} and name <> 'Reader'`, [id, tenant])
  expect((await log.readChanges(snapshot)).changes).toEqual([
    `u:${id}:2`,
    `u:${other}:2`,
    `u:${other}:3:${tenant}`,
    `u:${id}:3:${tenant}`,
  ])
})

test('a transaction that commits after a poll is in the next poll, and a rolled back one in none', async () => {
  const [early, late, never] = [await addUser(), await addUser(), await addUser()]
  const [slow, undone] = [await catalog.pool.connect(), await catalog.pool.connect()]
  await slow.query('begin')
  await slow.query(bump, [early])
  await undone.query('begin')
  await undone.query(bump, [never])
  const first = await look()
  await catalog.pool.query(bump, [late])
  const second = await log.readChanges(first.snapshot)
  expect(second.changes).toEqual([`u:${late}:2`])
  await slow.query('commit')
  await undone.query('rollback')
  const third = await log.readChanges(second.snapshot)
  expect(third.changes).toEqual([`u:${early}:2`])
  expect((await log.readChanges(third.snapshot)).changes).toEqual([])
  slow.release()
  undone.release()
})

test('each change is read exactly once, in whatever order transactions commit', async () => {
  const ids = await Promise.all(Array.from({ length: 8 }, addUser))
  const first = await look()
  let isWriting = true
  const committed: string[] = []
  const write = async (id: string) => {
    for (let epoch = 2; epoch < 42; epoch += 1) {
      const client = await catalog.pool.connect()
      try {
        await client.query('begin')
        await client.query(bump, [id])
        await sleep(Math.random() * 10)
        const isKept = Math.random() < 0.8
        await client.query(isKept ? 'commit' : 'rollback')
        if (isKept) committed.push(id)
      } finally {
        client.release()
      }
    }
  }
  const read: string[] = []
  const reading = (async () => {
    let { snapshot } = first
    for (let isLast = false; !isLast;) {
      isLast = !isWriting
      const seen = await log.readChanges(snapshot)
      read.push(...seen.changes)
      ;({ snapshot } = seen)
    }
  })()
  await Promise.all(ids.map(write))
  isWriting = false
  await reading
  expect(read).toHaveLength(committed.length)
  expect(new Set(read).size).toBe(read.length)
  for (const id of ids) {
    const epochs = read.filter((change) => change.includes(id)).map((change) => Number(change.split(':')[2]))
    expect(epochs).toEqual(Array.from(epochs, (_, index) => index + 2))
  }
})

test('rows older than a day are removed by those that add new ones', async () => {
  await catalog.pool.query(
    "insert into access_changes (change, created_at) select 'r:' || n, now() - interval '2 days' from generate_series(1, 1500) n",
  )
  await catalog.pool.query("select announce_change('r:1') from generate_series(1, 1000)")
  const { rows } = await catalog.pool.query<{ count: number }>(
    "select count(*)::int from access_changes where created_at < now() - interval '1 day'",
  )
  expect(rows[0]!.count).toBe(0)
})
