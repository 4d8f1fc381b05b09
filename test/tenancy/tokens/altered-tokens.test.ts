import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy, User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { createNotesApp, outcome } from '../notes-app.js'

let installation: Installation
let tenancy: Tenancy
let app: FastifyInstance
let dana: User

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
  dana = await tenancy.createUser({ email: 'dana@example.com', name: 'Dana', emailVerified: true })
  await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: dana.id })
  app = await createNotesApp(tenancy)
})
afterAll(async () => {
  await app?.close()
  await installation.drop()
})

async function answer(authorization: string): Promise<string> {
  return outcome(await app.inject({ url: '/reports', headers: { authorization } }))
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Returns other texts that a lenient parser accepts as the same token. */
function spellings(token: string): string[] {
  const [header, claims, signature] = token.split('.') as [string, string, string]
  const last = alphabet.indexOf(signature.at(-1) as string)
  return [
    // The unused bits of the last letter, which belong to no byte of the signature.
    ...[1, 2, 4, 8, 15].map((bits) => token.slice(0, -1) + alphabet[last ^ bits]),
    `${token}=`,
    `${token}==`,
    `${header}=.${claims}.${signature}`,
    `${header}.${claims}=.${signature}`,
    `${header}.${claims}.${signature}.`,
    `.${token}`,
    ` ${token} .`,
    `${token}, ${token}`,
    `${token} ${token}`,
    `"${token}"`,
    `${token}%20`,
    `${token}\\t`,
    token.replaceAll('-', '+').replaceAll('_', '/').replace(/^/, '/'),
    token.replaceAll('.', '%2E'),
    token.toUpperCase(),
    `${Buffer.from(`${Buffer.from(header, 'base64url').toString()} `).toString('base64url')}.${claims}.${signature}`,
    `${header}.${Buffer.from(` ${Buffer.from(claims, 'base64url').toString()}`).toString('base64url')}.${signature}`,
  ]
}

test('no other spelling of a token is accepted, neither while the token is valid and cached nor after it was revoked', async () => {
  const { token } = await tenancy.issueAccessToken({ user: dana.id })
  const refused = '401 TENANCY_AUTH_TOKEN_INVALID'
  for (const remembered of ['cold', 'warm']) {
    for (const spelling of spellings(token)) {
      expect([remembered, spelling, await answer(`Bearer ${spelling}`)]).toEqual([remembered, spelling, refused])
    }
    expect(await answer(`Bearer ${token}`)).toBe('200')
  }
  // Variations that are allowed in the header (RFC 9110, 11.1) but not in the token.
  for (const scheme of ['bearer ', 'BEARER  ', 'Bearer    ']) expect(await answer(scheme + token)).toBe('200')
  await tenancy.revokeUserTokens({ user: dana.id })
  for (const spelling of [token, ...spellings(token)]) {
    for (const scheme of ['Bearer ', 'bearer ', 'BEARER  ']) expect(await answer(scheme + spelling)).toBe(refused)
  }
  const { token: next } = await tenancy.issueAccessToken({ user: dana.id })
  expect(await answer(`Bearer ${next}`)).toBe('200')
})
