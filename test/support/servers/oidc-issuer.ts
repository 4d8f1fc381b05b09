import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

/** A token issuer of its own on loopback: discovery document, key set, and tokens. */
export interface OidcIssuer {
  readonly issuer: string
  /** Requests that were answered, by path. */
  readonly requests: readonly string[]
  /** Signs claims over those of a user whose address is verified; `undefined` leaves a claim out. */
  token(claims: Readonly<Record<string, unknown>>): Promise<string>
  /** Makes a new key; the old one is no longer published. */
  rotate(): Promise<void>
  close(): Promise<void>
}

/** Starts an issuer that signs with `alg`, for the audience `api`. Call `close()` when done. */
export async function startOidcIssuer(alg: 'RS256' | 'ES256' | 'EdDSA' = 'RS256'): Promise<OidcIssuer> {
  const newKey = async (kid: string) => ({ kid, ...(await generateKeyPair(alg, { extractable: true })) })
  let count = 1
  let key = await newKey('key-1')
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    const answer = async () => {
      if (request.url === '/.well-known/openid-configuration') return { issuer, jwks_uri: `${issuer}/keys` }
      if (request.url === '/keys') {
        return { keys: [{ ...(await exportJWK(key.publicKey)), kid: key.kid, alg, use: 'sig' }] }
      }
      return undefined
    }
    void answer().then((document) => {
      response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(document))
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    issuer,
    requests,
    token(claims) {
      const now = Math.floor(Date.now() / 1000)
      const all = { iss: issuer, aud: 'api', iat: now, exp: now + 300, email_verified: true, ...claims }
      return new SignJWT(JSON.parse(JSON.stringify(all)) as Record<string, unknown>)
        .setProtectedHeader({ alg, kid: key.kid, typ: 'at+jwt' })
        .sign(key.privateKey)
    },
    async rotate() {
      count += 1
      key = await newKey(`key-${count}`)
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}
