import { afterAll, beforeAll, expect, test } from 'vitest'
import { createClient } from 'redis'
import type { Tenant, User } from '../../src/core/model.js'
import type { Tenancy } from '../../src/tenancy-interface.js'
import { redisUrl } from '../support/redis/redis.js'
import { uniqueName, withAdmin } from '../support/server.js'
import { createTestTenancies, type TestTenancies } from '../support/tenancy.js'

// A revocation holds in every process: in those that listen, in those that poll, in strict ones at once, and in all of them
// after a restart with an empty Redis.
const redis = redisUrl()
const modes: readonly Record<string, string>[] = [
  { TENANT_MAX_STALENESS_MS: '2000' },
  { TENANT_MAX_STALENESS_MS: '1000', TENANT_CHANGES_BY: 'poll' },
  { TENANT_MAX_STALENESS_MS: '0' },
]

let installation: TestTenancies
let processes: Tenancy[] = []
let tenant: Tenant
let user: User
let token: string

const openAll = async () => {
  processes = []
  for (const mode of modes) {
    processes.push(
      await installation.open({
        ...mode,
        TENANT_PROCESSES: '3',
        ...(redis === undefined ? {} : { TENANT_REDIS_URL: redis }),
      }),
    )
  }
}

beforeAll(async () => {
  installation = await createTestTenancies()
  await openAll()
  ;[tenant] = (await installation.createTenants(processes[0]!, 1)) as [Tenant]
})
afterAll(() => installation.drop())

const catalog = (text: string, values: unknown[] = []) =>
  withAdmin((admin) => admin.query(text, values), installation.catalogName)

/** The answer of a process to the token: `ok`, or the code of its refusal. */
async function outcome(tenancy: Tenancy): Promise<string> {
  try {
    await tenancy.pipeline.handle({
      authorization: `Bearer ${token}`,
      tenantHeader: tenant.id,
      host: undefined,
      pathTenant: undefined,
      needs: 'tenant',
    })
    return 'ok'
  } catch (error) {
    return (error as { code: string }).code
  }
}
const outcomes = () => Promise.all(processes.map(outcome))

async function createUserWithToken(): Promise<void> {
  const [first] = processes as [Tenancy]
  user = await first.createUser({ email: `${uniqueName()}@example.com`, name: 'N', emailVerified: true })
  await first.addMember({ tenant: tenant.id, user: user.id })
  await catalog(
    "insert into user_credentials (user_id, provider_id, account_id, password) values ($1::uuid, 'credential', $1::text, '$argon2id$1')",
    [user.id],
  )
  ;({ token } = await first.issueAccessToken({ user: user.id }))
}

async function restartAll(): Promise<void> {
  await Promise.all(processes.map((tenancy) => tenancy.close()))
  if (redis !== undefined) {
    const { rows } = await catalog('select id from installation')
    const client = createClient({ url: redis })
    await client.connect()
    for await (const keys of client.scanIterator({ MATCH: `tenants2fast:member:${rows[0].id}:*`, COUNT: 1000 })) {
      if (keys.length > 0) await client.del(keys)
    }
    client.destroy()
  }
  await openAll()
}

interface Revocation {
  readonly revoke: () => Promise<unknown>
  readonly code: string
  /** Undoes what would affect the next test. */
  readonly undo?: () => Promise<unknown>
}

const revocations: Record<string, Revocation> = {
  'logout everywhere': {
    revoke: () => processes[0]!.revokeUserTokens({ user: user.id }),
    code: 'TENANCY_AUTH_TOKEN_INVALID',
  },
  'a changed password, in plain SQL': {
    revoke: () => catalog("update user_credentials set password = '$argon2id$2' where user_id = $1", [user.id]),
    code: 'TENANCY_AUTH_TOKEN_INVALID',
  },
  'a disabled user': { revoke: () => processes[0]!.disableUser({ user: user.id }), code: 'TENANCY_AUTH_USER_REFUSED' },
  'a deleted user, in plain SQL': {
    revoke: () => catalog('delete from users where id = $1', [user.id]),
    code: 'TENANCY_AUTH_USER_REFUSED',
  },
  'a removed member': {
    revoke: () => processes[0]!.removeMember({ tenant: tenant.id, user: user.id }),
    code: 'TENANCY_TENANT_FORBIDDEN',
  },
  'a suspended tenant': {
    revoke: () => processes[0]!.suspendTenant({ tenant: tenant.id }),
    code: 'TENANCY_TENANT_SUSPENDED',
    undo: () => processes[0]!.reactivateTenant({ tenant: tenant.id }),
  },
  'a withdrawn signing key': {
    revoke: () => processes[0]!.rotateSigningKeys({ withdraw: true }),
    code: 'TENANCY_AUTH_TOKEN_INVALID',
  },
  'a signing key that is deleted in plain SQL': {
    revoke: () => catalog('delete from signing_keys'),
    code: 'TENANCY_AUTH_TOKEN_INVALID',
  },
}

test.each(Object.entries(revocations))(
  'Every process refuses the token, also after a restart with an empty Redis: %s',
  async (_, { revoke, code, undo }) => {
    await createUserWithToken()
    // Twice: the second time from the cache.
    await expect.poll(outcomes).toEqual(['ok', 'ok', 'ok'])
    expect(await outcomes()).toEqual(['ok', 'ok', 'ok'])
    await revoke()
    // The strict process: the next request.
    expect(await outcome(processes[2]!)).toBe(code)
    await expect.poll(outcomes).toEqual([code, code, code])
    await restartAll()
    expect(await outcomes()).toEqual([code, code, code])
    await undo?.()
  },
)
