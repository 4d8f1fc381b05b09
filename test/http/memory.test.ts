import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, test } from 'vitest'
import { anonymousContext, type RequestFacts } from '../../src/http/pipeline.js'
import { createRequestContexts } from '../../src/cache/request-contexts.js'
import type { RememberedContext } from '../../src/core/request-path.js'
import type { VerifiedToken } from '../../src/core/identity/identity.js'
import { asking, createRequestPath, type RequestPath } from './fixture.js'

let path: RequestPath | undefined
afterEach(async () => {
  await path?.close()
  path = undefined
})

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function usedBytes(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

const letters = 15_000
let texts = 0
/** Makes a long text, a different one each time, stored in one piece. */
const long = (start: string, letter = '0'): string => {
  const text = `${start}${(texts += 1)}`
  return Buffer.from(text + letter.repeat(letters - text.length)).toString('latin1')
}
const slice = (text: string, ...cut: [number, number]): string => text.slice(...cut)

describe('bytes that a client sends', () => {
  const ways: [string, (token: string) => RequestFacts][] = [
    ['a host of many digits after the colon', (token) => asking(token, { host: long('acme.example.com:') })],
    ['a host of many letters that names nothing', (token) => asking(token, { host: long('x', 'a') })],
    ['a host below another one', (token) => asking(token, { host: `${long('a.b', 'c')}.example.com` })],
    [
      'a header that a route without a tenant does not look at',
      (token) => asking(token, { needs: 'user', tenantHeader: long('x') }),
    ],
    [
      'a path parameter that a route without a tenant does not look at',
      (token) => asking(token, { needs: 'user', pathTenant: long('x') }),
    ],
    [
      'a path parameter that is a part of a long URL',
      (token) => asking(token, { pathTenant: slice(long('/tenants/acme-and-others/x/'), 9, 24) }),
    ],
  ]
  test.each(ways)('Remembered contexts do not hold %s', async (_, factsOf) => {
    const opened = await createRequestPath({ baseDomain: 'example.com' })
    path = opened
    const user = await opened.addUser()
    await opened.addMember(user, await opened.addTenant('acme'))
    const other = await opened.addTenant('acme-and-others')
    await opened.catalog.pool.query('insert into user_tenants (user_id, tenant_id, is_default) values ($1, $2, true)', [
      user,
      other,
    ])
    await opened.heard()
    const tokens = Array.from({ length: 400 }, () => opened.tokenFor(user))
    for (const token of tokens) await opened.pipeline.handle(asking(token))
    const before = usedBytes()
    for (const token of tokens) {
      for (let round = 0; round < 8; round += 1) await opened.pipeline.handle(factsOf(token))
    }
    // 400 tokens with eight kinds of requests: as bytes 48 MB, as parsed names less than 2 MB.
    expect(usedBytes() - before).toBeLessThan(8_000_000)
    expect(opened.pipeline.handle(asking(tokens[0]!))).toHaveProperty('tenant.slug', 'acme-and-others')
  })
})

test('All spellings of one host share one remembered context', async () => {
  const opened = await createRequestPath({ baseDomain: 'example.com' })
  path = opened
  const user = await opened.addUser()
  await opened.addMember(user, await opened.addTenant('acme'))
  await opened.heard()
  const token = opened.tokenFor(user)
  const first = await opened.pipeline.handle(asking(token, { host: 'acme.example.com' }))
  for (const host of ['ACME.example.com', 'acme.example.com:8443', 'acme.example.com.', 'Acme.Example.Com.:1']) {
    // At once, not as a promise: the context itself is remembered.
    expect(opened.pipeline.handle(asking(token, { host }))).toBe(first)
  }
  const named = await opened.pipeline.handle(asking(token, { tenantHeader: 'acme' }))
  expect(opened.pipeline.handle(asking(token, { tenantHeader: 'acme', host: 'example.com' }))).toBe(named)
  for (const host of ['ab.example.com', 'nobody.example.com', '-.example.com']) {
    const refused = opened.pipeline.handle(asking(token, { host }))
    await expect(Promise.resolve(refused)).rejects.toMatchObject({ code: 'TENANCY_TENANT_FORBIDDEN' })
  }
  for (const tenantHeader of ['Acme', 'acme ', 'acme,acme', '']) {
    const refused = opened.pipeline.handle(asking(token, { tenantHeader }))
    await expect(Promise.resolve(refused)).rejects.toMatchObject({ code: 'TENANCY_TENANT_FORBIDDEN' })
  }
  const list = opened.pipeline.handle(asking(token, { tenantHeader: ['acme'] }))
  await expect(Promise.resolve(list)).rejects.toMatchObject({ code: 'TENANCY_TENANT_FORBIDDEN' })
})

describe('the size of remembered contexts', () => {
  const tokenOf = (claims: Record<string, unknown>) => ({ claims }) as VerifiedToken
  const resting = (bytes: number): RememberedContext => ({
    needs: 'user',
    byHeader: undefined,
    byHost: undefined,
    byPath: undefined,
    user: { bytes } as RememberedContext['user'],
    member: undefined,
    context: anonymousContext,
  })

  test('Remembered contexts stay below their bound in bytes, and the oldest go first', () => {
    const contexts = createRequestContexts(100_000)
    const tokens = Array.from({ length: 200 }, (_, index) => tokenOf({ index }))
    for (const token of tokens) {
      contexts.set(token, [resting(1000), resting(4000)])
      expect(contexts.bytes).toBeLessThanOrEqual(100_000)
    }
    const kept = tokens.filter((token) => contexts.of(token)?.length === 2)
    expect(kept.length).toBeGreaterThan(10)
    expect(kept).toEqual(tokens.slice(-kept.length))
  })

  test('The size of a remembered context includes the token’s claims, and one above the bound is not kept', () => {
    const contexts = createRequestContexts(100_000)
    const token = tokenOf({ text: 'x'.repeat(20_000) })
    contexts.set(token, [resting(1000)])
    expect(contexts.bytes).toBeGreaterThan(80_000)
    contexts.set(token, [resting(200_000)])
    expect([contexts.bytes, contexts.of(token)]).toEqual([0, []])
    contexts.set(token, [resting(1000)])
    expect(contexts.of(token)).toHaveLength(1)
    contexts.set(token, [resting(1000)])
    expect(contexts.bytes).toBeLessThan(85_000)
  })
})
