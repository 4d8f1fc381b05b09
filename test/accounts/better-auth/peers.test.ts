import { afterEach, expect, it, vi } from 'vitest'

const peers = ['better-auth', '@node-rs/argon2']

afterEach(() => {
  for (const peer of peers) vi.doUnmock(peer)
  vi.resetModules()
})

it('An application without accounts loads none of their packages; the provider loads them when it is created', async () => {
  const loaded: string[] = []
  for (const peer of peers) {
    vi.doMock(peer, async (original) => {
      loaded.push(peer)
      return await original<object>()
    })
  }
  await import('../../../src/index.js')
  const { createProviderUnderTest } = await import('../provider-fixture.js')
  expect(loaded).toEqual([])
  const { close } = await createProviderUnderTest()
  await close()
  expect(loaded.toSorted()).toEqual(peers.toSorted())
})

it.each(peers)('Without %s, accounts cannot be created, and the message says why', async (peer) => {
  vi.doMock(peer, () => {
    throw new Error(`Cannot find package '${peer}'`)
  })
  const { createProviderUnderTest } = await import('../provider-fixture.js')
  await expect(createProviderUnderTest()).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_PEER_MISSING',
    message: expect.stringContaining(`npm install ${peer}@`),
  })
})
