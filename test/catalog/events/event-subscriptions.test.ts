import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import type { TenancyEvent } from '../../../src/catalog/events/event.js'
import { createEvents, type OnEventInput } from '../../../src/catalog/events/event-subscriptions.js'
import { createUserDirectory } from '../../../src/catalog/users/users.js'
import { RequestScope, runInScope, tryGetScope } from '../../../src/core/context/request-scope.js'
import { anonymousContext } from '../../../src/http/pipeline.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'
import { silentLogger } from '../../support/silent-logger.js'

let catalog: TestDatabase
let name: string
/** Stands for processes: each has its own holder. */
let opened: ReturnType<typeof createEvents>[]

beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())
beforeEach(() => {
  name = `s-${randomUUID()}`
  opened = []
})
afterEach(async () => {
  for (const events of opened) await events.close()
})

const audit = () => createAuditLog(catalog.pool)
const sql = (text: string, values: unknown[] = []) => catalog.pool.query(text, values)

function openProcess(leaseMs = 10_000) {
  const events = createEvents({ catalog: catalog.pool, logger: silentLogger, leaseMs, idleMs: 10 })
  opened.push(events)
  return events
}

/** Subscribes in a process of its own, and collects what comes. */
async function collect(input: Partial<OnEventInput> = {}, act: (event: TenancyEvent) => unknown = () => {}) {
  const got: TenancyEvent[] = []
  const subscription = await openProcess().onEvent({ name, ...input }, async (event) => {
    await act(event)
    got.push(event)
  })
  return { got, subscription }
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await sleep(5)
}

async function newTenant(): Promise<string> {
  const id = randomUUID()
  await sql('insert into tenants (id, slug, name) values ($1, $2, $2)', [id, `t${id.slice(0, 8)}`])
  return id
}
async function placeOf(tenant: string): Promise<number | undefined> {
  const { rows } = await sql(
    'select seq::float8 as seq from event_positions where subscription = $1 and chain_id = $2',
    [name, tenant],
  )
  return (rows[0] as { seq: number } | undefined)?.seq
}
const record = (tenant: string | null, number: number) =>
  audit().record({ tenant, action: 'app.step', data: { number } })
const numbersOf = (events: readonly TenancyEvent[], tenant: string | null) =>
  events.filter(({ tenantId }) => tenantId === tenant).map(({ after }) => (after as { number: number }).number)

describe('events', () => {
  test('they are the committed changes, from the subscription on', async () => {
    const users = createUserDirectory(catalog.pool)
    await users.createUser({ email: `${randomUUID()}@example.com` })
    const { got, subscription } = await collect({ events: ['user.created', 'user.deleted', 'app.done'] })
    await until(() => subscription.isActive)
    const { id, email } = (await users.createUser({ email: `${randomUUID()}@example.com` })).user
    await until(() => got.length === 1)
    await users.disableUser({ user: id })
    await users.deleteUser({ user: id })
    await audit().record({ action: 'app.other' })
    await audit().record({ action: 'app.done' })
    await until(() => got.length === 3)
    expect(got).toMatchObject([
      {
        ...{ type: 'user.created', tenantId: null, actorId: null, apiKey: null, impersonation: null },
        ...{ subject: `user:${id}`, before: null, after: { email } },
      },
      { type: 'user.deleted', subject: `user:${id}`, before: null },
      { type: 'app.done' },
    ])
    expect(new Set(got.map((event) => event.id)).size).toBe(3)
    expect(subscription).toMatchObject({ name, handled: 3, failed: 0, lastError: undefined })
  })

  test('a handler runs outside of the request that subscribed: what it does is not that request’s', async () => {
    const scopes: unknown[] = []
    const origin = { caller: randomUUID(), impersonation: { id: randomUUID(), administrator: randomUUID() } }
    const scope = new RequestScope(anonymousContext, { origin })
    const events = openProcess()
    const subscription = await runInScope(scope, () =>
      events.onEvent({ name, events: ['app.done'] }, async () => void scopes.push(tryGetScope())),
    )
    await until(() => subscription.isActive)
    await audit().record({ action: 'app.done' })
    await until(() => scopes.length > 0)
    expect(scopes).toEqual([undefined])
  })

  test('a change that is rolled back is none', async () => {
    const { got, subscription } = await collect()
    await until(() => subscription.isActive)
    await sql("begin; insert into users (email) values ('nobody@example.com'); rollback")
    await audit().record({ action: 'app.done' })
    await until(() => got.length > 0)
    expect(got.map(({ type }) => type)).toEqual(['app.done'])
  })

  test('a new subscription can begin with all that there is', async () => {
    const tenant = await newTenant()
    for (let number = 1; number <= 45; number += 1) await record(tenant, number)
    const { got } = await collect({ from: 'start', events: ['app.step'] })
    await until(() => numbersOf(got, tenant).length === 45)
    expect(numbersOf(got, tenant)).toEqual(Array.from({ length: 45 }, (_, index) => index + 1))
  })
})

describe('order', () => {
  test('a transaction that commits late is delivered, after those of its tenant that were committed before', async () => {
    const [slow, quick] = [await newTenant(), await newTenant()]
    const { got, subscription } = await collect()
    await until(() => subscription.isActive)
    const client = await catalog.pool.connect()
    try {
      await client.query('begin')
      // Takes its transaction id and the chain's head first.
      await client.query(
        "insert into audit_log (tenant_id, action, after) values ($1, 'app.step', '{\"number\": 1}')",
        [slow],
      )
      await record(quick, 1)
      const behind = record(slow, 2)
      await until(() => numbersOf(got, quick).length === 1)
      expect(numbersOf(got, slow)).toEqual([])
      await client.query('commit')
      await behind
    } finally {
      client.release()
    }
    await until(() => numbersOf(got, slow).length === 2)
    expect(numbersOf(got, slow)).toEqual([1, 2])
  })

  test('concurrent writers and a restart in the middle leave each tenant in order, with none left out', async () => {
    const tenants = [await newTenant(), await newTenant(), await newTenant()]
    let { got, subscription } = await collect()
    const all = got
    const writing = Promise.all(
      tenants.map(async (tenant) => {
        for (let number = 1; number <= 100; number += 1) await record(tenant, number)
      }),
    )
    await until(() => got.length > 20)
    await subscription.close()
    ;({ got, subscription } = await collect())
    await writing
    await until(() => all.length + got.length >= 300)
    for (const tenant of tenants) {
      const numbers = [...numbersOf(all, tenant), ...numbersOf(got, tenant)]
      expect(numbers).toEqual(Array.from({ length: 100 }, (_, index) => index + 1))
    }
  })
})

describe('failures', () => {
  test('an event whose handler fails comes again before later ones of its tenant, and others go on', async () => {
    const [bad, good] = [await newTenant(), await newTenant()]
    let isBroken = true
    const { got, subscription } = await collect({}, ({ tenantId }) => {
      if (isBroken && tenantId === bad) throw new Error('the handler is broken')
    })
    await record(bad, 1)
    await record(bad, 2)
    await until(() => subscription.failed > 0)
    await record(good, 1)
    await until(() => numbersOf(got, good).length === 1)
    expect(numbersOf(got, bad)).toEqual([])
    expect(subscription.lastError).toMatchObject({ message: 'the handler is broken' })
    isBroken = false
    await until(() => numbersOf(got, bad).length === 2)
    expect(numbersOf(got, bad)).toEqual([1, 2])
    expect(subscription.lastError).toBeUndefined()
  })

  test('more tenants whose handler fails than are read at once do not stop the others', async () => {
    const { got, subscription } = await collect({}, ({ tenantId }) => {
      if (tenantId !== null && bad.has(tenantId)) throw new Error('the handler is broken')
    })
    const ids = (await Promise.all(Array.from({ length: 131 }, newTenant))).toSorted()
    // Chains are read in the order of their ids, 100 at a time: this one comes last.
    const good = ids.pop() ?? ''
    const bad = new Set(ids)
    await Promise.all(ids.map((tenant) => record(tenant, 1)))
    await until(() => subscription.failed >= 100)
    await record(good, 1)
    await until(() => numbersOf(got, good).length === 1)
    // Those that wait are tried again, too.
    const [again = ''] = ids
    bad.delete(again)
    await until(() => numbersOf(got, again).length === 1)
    expect(numbersOf(got, good)).toEqual([1])
  })

  test('one process at a time works on a subscription; when its lease runs out, another goes on', async () => {
    const tenant = await newTenant()
    const first: number[] = []
    const second: number[] = []
    const numberOf = (event: TenancyEvent) => (event.after as { number: number }).number
    const one = await openProcess().onEvent({ name }, (event) => void first.push(numberOf(event)))
    await until(() => one.isActive)
    const two = await openProcess().onEvent({ name }, (event) => void second.push(numberOf(event)))
    await record(tenant, 1)
    await until(() => first.length === 1)
    expect([two.isActive, second]).toEqual([false, []])
    // An event whose place is not stored yet would come again to the next.
    await until(async () => (await placeOf(tenant)) === 1)
    // As if the first had stopped for longer than its lease, and then the one after it had ended.
    await sql("update event_subscriptions set holder = $2, held_until = now() + interval '1 hour' where name = $1", [
      name,
      randomUUID(),
    ])
    await until(() => !one.isActive)
    await sql('update event_subscriptions set held_until = now() where name = $1', [name])
    await until(() => one.isActive || two.isActive)
    expect(one.isActive && two.isActive).toBe(false)
    await record(tenant, 2)
    await until(() => first.length + second.length === 2)
    expect([...first, ...second]).toEqual([1, 2])
  })

  test('who has lost the lease does not move the position', async () => {
    const tenant = await newTenant()
    let release = () => {}
    const entered = new Promise<void>((resolve) => {
      release = resolve
    })
    let finish = () => {}
    const held = new Promise<void>((resolve) => {
      finish = resolve
    })
    const { subscription } = await collect({}, async () => {
      release()
      await held
    })
    await until(() => subscription.isActive)
    await record(tenant, 1)
    await entered
    const other = randomUUID()
    await sql("update event_subscriptions set holder = $2, held_until = now() + interval '1 hour' where name = $1", [
      name,
      other,
    ])
    finish()
    await until(() => !subscription.isActive)
    const { rowCount } = await sql('select from event_positions where subscription = $1 and chain_id = $2', [
      name,
      tenant,
    ])
    expect(rowCount).toBe(0)
  })

  test('a catalog that does not answer is asked again', async () => {
    let isDown = true
    const pool = {
      connect: () => catalog.pool.connect(),
      query: async (text: string, values?: unknown[]) => {
        if (isDown && /audit_chains as head/.test(text)) throw new Error('down')
        return catalog.pool.query(text, values)
      },
    }
    const warnings: string[] = []
    const events = createEvents({
      catalog: pool as never,
      logger: { ...silentLogger, warn: (_, message) => void warnings.push(message) },
      idleMs: 5,
    })
    opened.push(events)
    const got: TenancyEvent[] = []
    await events.onEvent({ name }, (event) => void got.push(event))
    await record(null, 1)
    await until(() => warnings.length > 1)
    isDown = false
    await until(() => got.length > 0)
    expect(got).toMatchObject([{ type: 'app.step', after: { number: 1 } }])
  })
})

test('closing waits for the handler that runs, keeps the position, and gives the subscription back', async () => {
  const tenant = await newTenant()
  let isDone = false
  const { subscription } = await collect({}, async () => {
    await sleep(50)
    isDone = true
  })
  await until(() => subscription.isActive)
  await record(tenant, 1)
  await until(async () => {
    const { rowCount } = await sql('select from audit_chains where chain_id = $1 and length > 0', [tenant])
    return rowCount === 1 && subscription.isActive
  })
  await sleep(30)
  await subscription.close()
  const { got, subscription: next } = await collect()
  await until(() => next.isActive)
  await record(tenant, 2)
  await until(() => numbersOf(got, tenant).includes(2))
  expect(numbersOf(got, tenant)).toEqual(isDone ? [2] : [1, 2])
})

test('a subscription of a wrong form, or of a name that the process uses, is refused', async () => {
  const events = openProcess()
  const code = 'TENANCY_REQUEST_INVALID'
  for (const input of [
    { name: '' },
    { name: 'A' },
    { name, events: [] },
    { name, events: ['tenant.create'] },
    { name, from: 'end' },
  ]) {
    await expect(events.onEvent(input as OnEventInput, () => {})).rejects.toMatchObject({ code })
  }
  await expect(events.onEvent({ name }, undefined as never)).rejects.toMatchObject({ code })
  const first = await events.onEvent({ name }, () => {})
  await expect(events.onEvent({ name }, () => {})).rejects.toMatchObject({ code })
  await first.close()
  await events.onEvent({ name }, () => {})
  await events.close()
  await expect(events.onEvent({ name: `${name}-2` }, () => {})).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
})
