import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, vi } from 'vitest'

it('better-auth reports nothing to anybody, even if the environment asks for it', async () => {
  const reports: string[] = []
  const server = createServer((request, response) => {
    reports.push(`${request.method} ${request.url}`)
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  // better-auth reads this when it is loaded, so this file must not load it earlier. By default it reports nothing in test runs.
  vi.stubEnv('BETTER_AUTH_TELEMETRY', '1')
  vi.stubEnv('BETTER_AUTH_TELEMETRY_ENDPOINT', `http://127.0.0.1:${port}/report`)
  vi.stubEnv('NODE_ENV', 'production')
  vi.stubEnv('TEST', undefined)
  vi.stubEnv('VITEST', undefined)
  try {
    const { createProviderUnderTest } = await import('../provider-fixture.js')
    const underTest = await createProviderUnderTest()
    await underTest.provider.register({ email: 'ada@example.com', password: 'correct horse battery', name: '' })
    await underTest.close()
    expect(reports).toEqual([])

    // Without our setting, the same environment does report; otherwise this test would prove nothing.
    const { betterAuth } = await import('better-auth')
    await betterAuth({ secret: 'x'.repeat(40), baseURL: 'http://localhost', logger: { disabled: true } }).$context
    await vi.waitFor(() => expect(reports).not.toEqual([]), { timeout: 20_000 })
  } finally {
    vi.unstubAllEnvs()
    server.closeAllConnections()
    server.close()
  }
})
