import { expect, test } from 'vitest'
import { createApi } from '../../src/api/index.js'
import { createInstallation } from '../support/installation.js'

test('A proxy is told of proven hosts of active tenants and of nothing else, and only where that is switched on', async () => {
  const installation = createInstallation({ TENANT_READY_DATABASES: '0', TENANT_SEED_PROFILE: 'prod' })
  const published = new Map<string, string[]>()
  const tenancy = await installation.open({ domains: { resolveTxt: async (name) => published.get(name) ?? [] } })
  try {
    const { id: owner } = await tenancy.createUser({ email: 'a@example.com', name: 'A', emailVerified: true })
    const tenant = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner })
    const domain = await tenancy.addDomain({ tenant: tenant.id, host: 'app.example.org' })
    const api = createApi({ tenancy, ask: true, limits: { strangersPerAddress: 20 } })
    const ask = async (query: string, from = api, remoteAddress = '127.0.0.1') => {
      const target = `/domains/ask${query}`
      const answer = await from.handle(new Request(`http://localhost${target}`), { remoteAddress, target })
      return [answer.status, await answer.text()] as const
    }
    expect(await ask('?domain=app.example.org')).toEqual([404, ''])
    published.set(domain.recordName, [domain.recordValue])
    await tenancy.verifyDomain({ tenant: tenant.id, domain: domain.id })
    expect(await ask('?domain=app.example.org')).toEqual([200, ''])
    expect(await ask('?domain=APP.example.org')).toEqual([200, ''])
    const others = ['', '?domain=', '?domain=x.app.example.org', '?domain=example.org', '?domain=app.example.org%00']
    const more = [
      '?domain=app.example.org.evil.example',
      '?domain=app.example.org&domain=evil.example',
      '?domain=%d0%b0pp.example.org',
    ]
    for (const query of [...others, ...more]) expect(await ask(query), query).toEqual([404, ''])
    await tenancy.suspendTenant({ tenant: tenant.id })
    expect(await ask('?domain=app.example.org')).toEqual([404, ''])
    for (let index = 0; index < 20; index += 1) await ask('?domain=x.example.org', api, '192.0.2.1')
    expect((await ask('?domain=x.example.org', api, '192.0.2.1'))[0]).toBe(429)
    expect((await ask('?domain=app.example.org', createApi({ tenancy })))[1]).not.toBe('')
  } finally {
    await tenancy.close()
    await installation.drop()
  }
})
