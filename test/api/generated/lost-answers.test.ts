import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startNode } from '../../support/processes/node-process.js'
import { prepare } from './fixtures.js'
import { createWorld, nameOf, operations, type World } from './world.js'

// A process that ends after it has committed a change, and before it has stored the answer to its Idempotency-Key.

let world: World
beforeAll(async () => {
  world = await createWorld()
  await world.query(`create function lose_answer() returns trigger language plpgsql as
    $$ begin if tg_argv[0] = 'wait' then perform pg_sleep(600); end if; raise exception 'lost'; end $$`)
})
afterAll(() => world.close())

const lose = (how: 'wait' | 'raise') =>
  world.query(`create trigger lose before update of status on idempotent_requests for each row
    when (new.status is not null) execute function lose_answer('${how}')`)
const loseNoMore = () => world.query('drop trigger if exists lose on idempotent_requests')

const idempotent = operations.filter(({ recovery }) => recovery !== undefined)

describe.each(idempotent.map((operation) => [nameOf(operation), operation] as const))('%s', (_, operation) => {
  test('A retry after an answer that was lost gets what was made, once, without what is shown once', async () => {
    const { send, body } = await prepare(world, operation)
    const request = { body, headers: { 'idempotency-key': `lost-${operation.id}` } }
    await lose('raise')
    const lost = await send(request)
    await loseNoMore()
    expect(lost).toMatchObject({ status: 503, json: { code: 'TENANCY_CATALOG_UNAVAILABLE' } })
    const made = await world.fingerprint(['idempotent_requests'])
    const again = await send(request)
    expect(again.json?.code).toBeUndefined()
    expect([again.status, again.headers['idempotency-replayed']]).toEqual([operation.answer.status, 'true'])
    for (const secret of operation.secrets) expect(again.json[secret]).toBeNull()
    expect(await world.fingerprint(['idempotent_requests'])).toBe(made)
    const third = await send(request)
    expect([third.status, third.json]).toEqual([again.status, again.json])
    const other = await send({ ...request, body: { ...body, [Object.keys(body ?? {})[0] ?? '']: null } })
    expect(other.status).toBeGreaterThanOrEqual(400)
  })
})

const program = `
  import { createTenancy } from 'tenants2fast'
  import { createApi } from 'tenants2fast/api'
  const api = createApi({ tenancy: await createTenancy() })
  const { url, headers, body } = JSON.parse(process.env.REQUEST)
  process.stdout.write('ready;')
  await api.handle(new Request(url, { method: 'POST', headers, body }), { remoteAddress: '127.0.0.1' })
`

test('kill -9 between the commit and the answer: a retry in another process gets the same role', async () => {
  const { tenant, owner } = await world.createScene()
  const name = `R-${randomUUID().slice(0, 8)}`
  const target = `/tenants/${tenant.id}/roles`
  const headers = { 'idempotency-key': 'killed' }
  const request = {
    ...{ url: `http://localhost${target}`, body: JSON.stringify({ name }) },
    headers: { ...headers, authorization: `Bearer ${owner.token}`, 'content-type': 'application/json' },
  }
  const roles = () => world.query<{ id: string }>('select id from roles where name = $1', [name])
  await lose('wait')
  const child = startNode([], { env: { ...world.api.installation.env, REQUEST: JSON.stringify(request) }, program })
  await expect.poll(roles, { timeout: 30_000 }).toHaveLength(1)
  // It stands at the update that stores its answer, and not before it.
  const storing = `from pg_stat_activity
    where datname = current_database() and query like 'update idempotent_requests set status%' and state = 'active'`
  await expect.poll(() => world.query(`select pid ${storing}`), { timeout: 30_000 }).toHaveLength(1)
  child.kill('SIGKILL')
  expect(await child.ended).toBe('SIGKILL')
  await world.query(`select pg_terminate_backend(pid) ${storing}`)
  await expect.poll(() => world.query(`select pid ${storing}`), { timeout: 30_000 }).toHaveLength(0)
  await loseNoMore()
  const again = await world.api.call(`POST ${target}`, { as: owner, body: { name }, headers })
  const [role] = await roles()
  expect([again.status, again.json.id]).toEqual([201, role?.id])
  expect(await roles()).toHaveLength(1)
  expect(again.headers['idempotency-replayed']).toBe('true')
})

test('A request whose process is lost before it has changed anything is done by a retry, after a minute', async () => {
  const { tenant, owner } = await world.createScene()
  const send = (key: string, name: string) =>
    world.api.call(`POST /tenants/${tenant.id}/roles`, {
      as: owner,
      body: { name },
      headers: { 'idempotency-key': key },
    })
  const name = `R-${randomUUID().slice(0, 8)}`
  // As a process leaves it that has begun, and no more: the row of another request, for this one's key.
  expect((await send('begun', name)).status).toBe(201)
  const role = await world.query<{ id: string }>('delete from roles where name = $1 returning id', [name])
  await world.query(`update idempotent_requests set status = null, body = null`)
  expect(await send('begun', name)).toMatchObject({ status: 409, json: { code: 'TENANCY_REQUEST_IN_PROGRESS' } })
  await world.query(`update idempotent_requests set created_at = now() - interval '61 seconds'`)
  const answers = await Promise.all([send('begun', name), send('begun', name), send('begun', name)])
  const made = answers.filter(({ status }) => status === 201)
  expect(made.length).toBeGreaterThan(0)
  expect(new Set(made.map(({ json }) => json.id as string)).size).toBe(1)
  expect(made[0]?.json.id).not.toBe(role[0]?.id)
  expect(answers.filter(({ json }) => json.code !== undefined && json.code !== 'TENANCY_REQUEST_IN_PROGRESS')).toEqual(
    [],
  )
})

test('A process that was slow, whose request somebody else has taken over, changes nothing any more', async () => {
  const { tenant, owner } = await world.createScene()
  const name = `R-${randomUUID().slice(0, 8)}`
  const request = { as: owner, body: { name }, headers: { 'idempotency-key': 'slow' } }
  // The role's row is held up by a lock of its tenant; meanwhile a minute passes, and a retry begins.
  const blocked = await world.block(tenant.id)
  const slow = world.api.call(`POST /tenants/${tenant.id}/roles`, request)
  await blocked.waited()
  await world.query(
    "update idempotent_requests set created_at = created_at - interval '61 seconds' where status is null",
  )
  await blocked.release()
  expect(await slow).toMatchObject({ status: 409, json: { code: 'TENANCY_REQUEST_IN_PROGRESS' } })
  expect(await world.query('select from roles where name = $1', [name])).toHaveLength(0)
})
