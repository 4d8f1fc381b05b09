import Fastify, { type FastifyInstance } from 'fastify'
import { generateKeyPair, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tenancyPlugin } from '../../../src/adapters/fastify/index.js'
import { getCurrentTenant, getCurrentUser, type Tenancy } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { bearer, outcome } from '../../tenancy/notes-app.js'
import { type BetterAuthApplication, startBetterAuth } from './better-auth.js'
import { type ProviderFixture, providerFixtures } from './fixtures.js'
import {
  documentedProviders,
  type LocalProvider,
  type LocalProviders,
  readDocumentedConfig,
  startLocalProviders,
} from './local-providers.js'

// A template and an issuer that it covers cannot be configured together.
const several = 'Microsoft Entra, several directories'

interface World {
  readonly installation: Installation
  readonly tenancy: Tenancy
  readonly app: FastifyInstance
  readonly acme: string
}

const worlds = new Map<boolean, World>()
let local: LocalProviders
let betterAuth: BetterAuthApplication

async function open(configs: readonly object[]): Promise<World> {
  const installation = createInstallation({ TENANT_OIDC_ISSUERS: JSON.stringify(configs) })
  const tenancy = await installation.open()
  const app = Fastify() as unknown as FastifyInstance
  await app.register(tenancyPlugin, { tenancy })
  app.get('/where', async () => ({ user: getCurrentUser().id, tenant: getCurrentTenant().slug }))
  app.get('/whoami', { config: { tenancy: 'user' } }, async () => ({ user: getCurrentUser().id }))
  const owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  for (const slug of ['acme', 'globex']) await tenancy.createTenant({ name: slug, slug, owner: owner.id })
  return { installation, tenancy, app, acme: (await tenancy.getTenant('acme')).id }
}

beforeAll(async () => {
  local = await startLocalProviders(providerFixtures, async (fixture, localise) => {
    if (fixture.heading !== 'better-auth') return undefined
    betterAuth = await startBetterAuth('http://127.0.0.1', fixture.email ?? '', localise('https://app.example.com'))
    return betterAuth.key
  })
  const isSeveral = ({ fixture }: LocalProvider) => fixture.heading === several
  worlds.set(false, await open(local.providers.filter((one) => !isSeveral(one)).map(({ config }) => config)))
  worlds.set(true, await open(local.providers.filter(isSeveral).map(({ config }) => config)))
}, 120_000)

afterAll(async () => {
  for (const { app, installation } of worlds.values()) {
    await app.close()
    await installation.drop()
  }
  await local?.close()
})

const providerOf = (fixture: ProviderFixture) =>
  local.providers.find((provider) => provider.fixture === fixture) as LocalProvider
const worldOf = (fixture: ProviderFixture) => worlds.get(fixture.heading === several) as World

test('This suite has exactly the configurations of docs/identity.md', () => {
  expect(documentedProviders().toSorted()).toEqual(providerFixtures.map(({ heading }) => heading).toSorted())
})

test('The plugin of better-auth makes tokens of the form that its configuration expects', async () => {
  const application = await startBetterAuth('https://app.example.com', 'anna@example.com')
  const [header, claims] = (await application.token())
    .split('.', 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>)
  const documented = JSON.parse(readDocumentedConfig('better-auth')) as Record<string, unknown>
  expect(header).toEqual({ alg: documented['algorithm'], kid: application.key.kid })
  expect(claims).toMatchObject({ iss: documented['issuer'], aud: documented['audience'], emailVerified: true })
})

describe.each(providerFixtures.map((fixture) => [fixture.heading, fixture] as const))('%s', (_heading, fixture) => {
  const ask = async (token: string, url = '/where', tenant?: string) =>
    worldOf(fixture).app.inject({ url, headers: bearer(token, tenant) })
  const documented = async () =>
    fixture.heading === 'better-auth' ? betterAuth.token() : providerOf(fixture).sign(providerOf(fixture).claims())

  test('A token as documented is accepted for the right user in the right tenant', async () => {
    const { tenancy } = worldOf(fixture)
    const token = await documented()
    const claims = JSON.parse(Buffer.from(String(token.split('.')[1]), 'base64url').toString()) as Record<
      string,
      string
    >
    expect(outcome(await ask(token))).toBe(fixture.isBound ? '403 TENANCY_TENANT_FORBIDDEN' : '403 TENANCY_TENANT_NONE')
    const subject = fixture.subject ?? String(claims['sub'])
    const user = await tenancy.findUserByIdentity({ issuer: String(claims['iss']), subject })
    expect(user).toMatchObject({
      emailVerified: fixture.email !== undefined,
      email: fixture.email ?? expect.stringMatching(/^[0-9a-f-]{36}@identity\.invalid$/),
    })
    for (const slug of ['acme', 'globex']) await tenancy.addMember({ tenant: slug, user: String(user?.id) })
    await tenancy.setDefaultTenant({ tenant: 'acme', user: String(user?.id) })
    expect((await ask(token)).json()).toEqual({ user: user?.id, tenant: 'acme' })
    if (fixture.isBound) {
      expect(outcome(await ask(token, '/where', 'globex'))).toBe('403 TENANCY_TENANT_CONFLICT')
      expect(outcome(await ask(token, '/whoami'))).toBe('403 TENANCY_AUTH_TOKEN_BOUND')
    } else {
      expect((await ask(token, '/where', 'globex')).json()).toEqual({ user: user?.id, tenant: 'globex' })
      expect((await ask(token, '/whoami')).json()).toEqual({ user: user?.id })
    }
  })

  // Only the log tells which check failed; no answer does.
  const refusal = '401 TENANCY_AUTH_TOKEN_INVALID type,title,status,code,requestId'
  const answerTo = async (token: string) => {
    const answer = await ask(token)
    return `${outcome(answer)} ${Object.keys(answer.json()).join(',')}`
  }

  test('A token for another API or client is refused', async () => {
    const provider = providerOf(fixture)
    expect(await answerTo(await provider.sign(provider.claims(fixture.elsewhere)))).toBe(refusal)
  })

  test.each(fixture.misused.map((use) => [use.title, use] as const))(
    'A misused token is refused: %s',
    async (_title, use) => {
      const provider = providerOf(fixture)
      expect(
        await answerTo(await provider.sign(provider.claims(use.claims), { ...fixture.header, ...use.header })),
      ).toBe(refusal)
    },
  )

  test('A token that uses the public key as a shared secret, or has no signature, is refused', async () => {
    const provider = providerOf(fixture)
    const secret = Buffer.from(provider.publicPem)
    for (const alg of ['HS256', 'HS384', 'HS512']) {
      expect(await answerTo(await provider.signWith(secret, alg, provider.claims()))).toBe(refusal)
    }
    expect(await answerTo(new UnsecuredJWT(provider.claims()).encode())).toBe(refusal)
    const [, payload] = (await provider.sign(provider.claims())).split('.')
    for (const alg of ['none', 'None', 'NONE', '']) {
      const header = Buffer.from(JSON.stringify({ ...fixture.header, alg })).toString('base64url')
      expect(await answerTo(`${header}.${payload}.`)).toBe(refusal)
      expect(await answerTo(`${header}.${payload}.AA`)).toBe(refusal)
    }
  })

  test('A token signed with another key is refused, whatever key or address its header holds', async () => {
    const provider = providerOf(fixture)
    const { algorithm } = fixture
    const { privateKey } = await generateKeyPair(algorithm)
    expect(await answerTo(await provider.signWith(privateKey, algorithm, provider.claims()))).toBe(refusal)
    const other = local.providers.find((one) => one !== provider && one.fixture.algorithm === algorithm)
    if (other !== undefined) expect(await answerTo(await other.sign(provider.claims(), fixture.header))).toBe(refusal)
    const before = local.requests.length
    const evil = `${local.localise('https://sso.example.com')}/evil`
    for (const name of ['jku', 'x5u']) {
      expect(
        await answerTo(
          await provider.signWith(privateKey, algorithm, provider.claims(), { ...fixture.header, [name]: evil }),
        ),
      ).toBe(refusal)
    }
    expect(local.requests.slice(before).filter((path) => path.includes('evil'))).toEqual([])
  })

  test('A token that has expired, is not valid yet or never expires is refused', async () => {
    const provider = providerOf(fixture)
    const now = Math.floor(Date.now() / 1000)
    expect(
      await answerTo(await provider.sign(provider.claims({ iat: now - 900, nbf: now - 900, exp: now - 60 }))),
    ).toBe(refusal)
    expect(await answerTo(await provider.sign(provider.claims({ iat: now + 60, exp: now + 900 })))).toBe(refusal)
    expect(await answerTo(await provider.sign(provider.claims({ nbf: now + 60 })))).toBe(refusal)
    expect(await answerTo(await provider.sign(provider.claims({ exp: undefined })))).toBe(refusal)
  })

  test('A token whose payload was changed is refused', async () => {
    const provider = providerOf(fixture)
    const [header, , signature] = (await documented()).split('.')
    const payload = Buffer.from(JSON.stringify(provider.claims(fixture.tampered))).toString('base64url')
    expect(await answerTo(`${header}.${payload}.${signature}`)).toBe(refusal)
  })
})
