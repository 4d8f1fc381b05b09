import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withAdmin } from '../../support/server.js'
import { type ApiProcess, ApiProcesses, type Caller } from './api-processes.js'

// A process of three that is killed in the middle of its work: the others serve on, and do what it has left half done, once.

let processes: ApiProcesses
beforeAll(async () => {
  processes = new ApiProcesses({})
  await processes.open()
})
afterAll(() => processes.close())

/** Calls a process again and again until it is stopped, and counts its answers. */
function keepCalling(served: ApiProcess, target: string, as: Caller, bodyOf?: (count: number) => object) {
  const counts = new Map<number, number>()
  let isStopped = false
  let done = 0
  const ended = (async () => {
    while (!isStopped) {
      const { status } = await served.call(target, { as, ...(bodyOf === undefined ? {} : { body: bodyOf(done) }) })
      counts.set(status, (counts.get(status) ?? 0) + 1)
      done += 1
    }
  })()
  ended.catch(() => {})
  return {
    get done() {
      return done
    },
    /** Statuses that it has met. Rejects when a call was not answered. */
    async stop() {
      isStopped = true
      await ended
      return [...counts.keys()]
    },
  }
}

/** As an advisory lock of the database; nobody else uses this number. */
const gate = 4_711_000_001

/**
 * Stops whoever stores the answer of a keyed request, before it is stored, until `work` is done: its change is committed by then.
 * A stored answer that has waited fails, as the process that sent it is gone.
 */
async function beforeAnswersAreStored<Result>(work: (hasStopped: () => Promise<boolean>) => Promise<Result>) {
  const { catalogName } = processes.installation
  return withAdmin(async (admin) => {
    await admin.query(`
      create function test_gate() returns trigger language plpgsql as $$
      begin
        if pg_try_advisory_xact_lock_shared(${gate}) then return new; end if;
        perform pg_advisory_xact_lock_shared(${gate});
        raise exception 'the process that stores this is gone';
      end $$;
      create trigger test_gate before update on idempotent_requests
        for each row when (new.status is not null) execute function test_gate();`)
    try {
      await admin.query('select pg_advisory_lock($1)', [gate])
      const waiting = `select from pg_locks where locktype = 'advisory' and not granted
        and (classid::bigint << 32 | objid::bigint) = $1`
      return await work(async () => (await admin.query(waiting, [gate])).rowCount === 1)
    } finally {
      await admin.query('select pg_advisory_unlock_all()')
      await admin.query('drop trigger test_gate on idempotent_requests; drop function test_gate()')
    }
  }, catalogName)
}

test('kill -9 between a change and its answer: the others serve on, and answer the key with what was made, once', async () => {
  const [first, second, third] = (await Promise.all([
    ...[processes.start(), processes.start(), processes.start()],
  ])) as [ApiProcess, ApiProcess, ApiProcess]
  const owner = await processes.createUser()
  const tenant = await processes.createTenant(owner)
  const member = await processes.join(tenant, ['Admin'])
  const path = `/tenants/${tenant.id}`
  const { id: serviceAccount } = (
    await second.call(`POST ${path}/service-accounts`, { as: owner, body: { name: 'Program' } })
  ).json as { readonly id: string }
  const traffic = [
    keepCalling(second, `GET ${path}/members`, member),
    keepCalling(third, `PATCH ${path}`, owner, (count) => ({ name: `n${count}` })),
  ]
  const key = randomUUID()
  const body = { serviceAccount, name: 'Key', permissions: ['members:read'] }
  const create = (served: ApiProcess) => served.call(`POST ${path}/keys`, { as: owner, body, key })
  const gone = await beforeAnswersAreStored(async (hasStopped) => {
    const lost = create(first).then(
      () => 'answered',
      () => 'cut',
    )
    await expect.poll(hasStopped).toBe(true)
    await first.kill()
    // Both go on while the half done request lies there.
    const before = traffic.map(({ done }) => done)
    await expect.poll(() => traffic.every(({ done }, index) => done > before[index]! + 20)).toBe(true)
    return lost
  })
  expect(gone).toBe('cut')

  const answers = await Promise.all([create(second), create(third), create(second), create(third)])
  const restarted = await processes.start()
  answers.push(await create(restarted))
  const [made] = await processes.tenancy.listApiKeys({ tenant: tenant.id, serviceAccount })
  expect(await processes.tenancy.listApiKeys({ tenant: tenant.id, serviceAccount })).toHaveLength(1)
  // Nobody has read its text, and nobody gets it.
  expect(
    answers.map(({ status, headers, json }) => [status, headers.get('idempotency-replayed'), json.key, json.apiKey.id]),
  ).toEqual(Array.from({ length: 5 }, () => [201, 'true', null, made?.id]))
  for (const each of traffic) expect(await each.stop()).toEqual([200])
  expect((await restarted.call(`GET ${path}/members`, { as: member })).status).toBe(200)
  expect(await processes.tenancy.audit.verify({ tenant: tenant.id })).toMatchObject({ isIntact: true })
})

test('kill -9 at any moment of making a tenant: with its key it is made once', async () => {
  const [second, third] = await Promise.all([processes.start(), processes.start()])
  for (let round = 0; round < 4; round += 1) {
    const first = await processes.start()
    const owner = await processes.createUser()
    const key = randomUUID()
    const slug = `kill-${key.slice(0, 8)}`
    const create = (served: ApiProcess) => served.call('POST /tenants', { as: owner, body: { name: slug, slug }, key })
    const lost = create(first).catch(() => undefined)
    const hasBegun = async () =>
      (await processes.tenancy.accountsHost().catalog.query('select from tenants where slug = $1', [slug])).rows
        .length > 0
    // Half of them as soon as it is there.
    if (round % 2 === 0) await expect.poll(hasBegun, { interval: 1 }).toBe(true)
    else await first.call('GET /me/tenants', { as: owner })
    await first.kill()
    await lost
    // Where it had noted the key and changed nothing, the key counts as under way for a minute, which is not waited for here. It
    // may not have come so far, or its last statement is still being run.
    const next = await create(second)
    if (next.status !== 201) {
      expect(next.json.code).toBe('TENANCY_REQUEST_IN_PROGRESS')
      await processes.tenancy
        .accountsHost()
        .catalog.query(
          "update idempotent_requests set created_at = created_at - interval '2 minutes' where status is null",
        )
    }
    const answers = [await create(second), await create(third)]
    const { tenants, total } = await processes.tenancy.searchTenants({ search: slug })
    expect(total).toBe(1)
    expect(answers.map(({ status, json }) => [status, json.id])).toEqual([
      ...[
        [201, tenants[0]?.id],
        [201, tenants[0]?.id],
      ],
    ])
    expect(answers[1]!.headers.get('idempotency-replayed')).toBe('true')
  }
})
