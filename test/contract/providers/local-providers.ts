import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, exportSPKI, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose'
import type { IssuerOptions } from '../../../src/index.js'
import type { Json, ProviderFixture } from './fixtures.js'

/** A provider that publishes its keys on loopback and signs tokens. */
export interface LocalProvider {
  readonly fixture: ProviderFixture
  /** The configuration of docs/identity.md, with the provider's hosts moved to loopback. */
  readonly config: IssuerOptions
  /** The documented payload, as of now, with claims over it; undefined leaves one out. */
  claims(over?: Json): Record<string, unknown>
  /** Signs with the provider's key. */
  sign(claims: Json, header?: Json): Promise<string>
  /** Signs with any key and algorithm, under the provider's key id. */
  signWith(key: Parameters<SignJWT['sign']>[0], algorithm: string, claims: Json, header?: Json): Promise<string>
  /** The public key as PEM, which everybody knows. */
  readonly publicPem: string
}

/** All providers behind one server. */
export interface LocalProviders {
  readonly providers: readonly LocalProvider[]
  /** Requests that were answered, by path. */
  readonly requests: readonly string[]
  /** Moves a text about one of the providers to loopback. */
  localise(text: string): string
  close(): Promise<void>
}

const page = readFileSync(new URL('../../../docs/identity.md', import.meta.url), 'utf8')

/** The configuration that docs/identity.md gives under a heading. */
export function readDocumentedConfig(heading: string): string {
  const [, section] = page.split(`\n#### ${heading}\n`)
  const json = section?.split(/\n#{1,4} /)[0]?.match(/```json\n(.*?)```/s)?.[1]
  if (json === undefined) throw new Error(`docs/identity.md has no configuration under "${heading}"`)
  return json
}

/** Every heading of docs/identity.md that has a configuration. */
export function documentedProviders(): string[] {
  const [, section = ''] = page.split('\n### Providers\n')
  return [...(section.split('\n## ')[0] ?? '').matchAll(/^#### (.+)$/gm)].map(([, heading]) => String(heading))
}

/**
 * Starts a server on loopback that stands in for the hosts of all providers: `https://host/path` is served as
 * `http://127.0.0.1:port/host/path`, in configurations and in tokens alike. Nothing else of either is changed.
 *
 * @param keyOf the private key of a provider that has its own; undefined: one is made
 */
export async function startLocalProviders(
  fixtures: readonly ProviderFixture[],
  keyOf: (fixture: ProviderFixture, localise: (text: string) => string) => Promise<JWK | undefined>,
): Promise<LocalProviders> {
  const documents = new Map<string, object>()
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    const document = documents.get(request.url ?? '')
    response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const hosts = new Set<string>()
  for (const { heading } of fixtures) {
    const { issuer, jwksUri } = JSON.parse(readDocumentedConfig(heading)) as IssuerOptions
    for (const address of [issuer, jwksUri ?? issuer]) hosts.add(new URL(address).host)
  }
  const localise = (text: string) => {
    let moved = text
    for (const host of hosts) moved = moved.replaceAll(`https://${host}`, `${base}/${host}`)
    return moved
  }

  const start = async (fixture: ProviderFixture, index: number): Promise<LocalProvider> => {
    const { algorithm } = fixture
    const config = JSON.parse(localise(readDocumentedConfig(fixture.heading))) as IssuerOptions
    const given = await keyOf(fixture, localise)
    const pair =
      given === undefined
        ? await generateKeyPair(algorithm, { extractable: true })
        : { privateKey: await importKey(given, algorithm), publicKey: await importKey(publicPart(given), algorithm) }
    const kid = given?.kid ?? `key-${index}`
    const jwksUri = config.jwksUri ?? `${config.issuer.replace(/\/$/, '')}/keys`
    documents.set(new URL(jwksUri).pathname, {
      keys: [{ ...(await exportJWK(pair.publicKey)), kid, alg: algorithm, use: 'sig' }],
    })
    if (config.jwksUri === undefined) {
      const discovery = `${config.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
      documents.set(new URL(discovery).pathname, { issuer: config.issuer, jwks_uri: jwksUri })
    }
    const move = (claims: Json) => JSON.parse(localise(JSON.stringify(claims))) as Record<string, unknown>
    const signWith: LocalProvider['signWith'] = (key, alg, claims, header = fixture.header) =>
      new SignJWT(move(claims)).setProtectedHeader({ ...header, alg, kid }).sign(key)
    return {
      fixture,
      config,
      claims: (over = {}) => move({ ...fixture.claims(Math.floor(Date.now() / 1000)), ...over }),
      sign: (claims, header) => signWith(pair.privateKey, algorithm, claims, header),
      signWith,
      publicPem: await exportSPKI(pair.publicKey),
    }
  }

  return {
    providers: await Promise.all(fixtures.map(start)),
    requests,
    localise,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

async function importKey(
  jwk: JWK,
  algorithm: string,
): Promise<Exclude<Awaited<ReturnType<typeof importJWK>>, Uint8Array>> {
  const key = await importJWK(jwk, algorithm, { extractable: true })
  if (key instanceof Uint8Array) throw new Error('A signing key is no shared secret')
  return key
}

function publicPart({ d: _private, ...jwk }: JWK): JWK {
  return jwk
}
