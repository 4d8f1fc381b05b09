import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { jwt } from 'better-auth/plugins'
import type { JWK } from 'jose'

/** The real plugin `jwt()` of an application that runs better-auth, with one user who is logged in. */
export interface BetterAuthApplication {
  /** The key that the plugin generated. */
  readonly key: JWK
  readonly subject: string
  /** The user's answer of `GET /api/auth/token`. */
  token(): Promise<string>
}

/**
 * @param baseURL the application's address, which is issuer and audience of its tokens
 * @param issuer issuer and audience, if they differ: on loopback the application is below a path
 */
export async function startBetterAuth(baseURL: string, email: string, issuer?: string): Promise<BetterAuthApplication> {
  const database: Record<string, Record<string, unknown>[]> = {
    user: [],
    session: [],
    account: [],
    verification: [],
    jwks: [],
  }
  const auth = betterAuth({
    baseURL,
    secret: 'only in this test: 0123456789abcdef0123456789abcdef',
    database: memoryAdapter(database),
    emailAndPassword: { enabled: true },
    telemetry: { enabled: false },
    plugins: [
      jwt({
        jwks: { disablePrivateKeyEncryption: true },
        ...(issuer === undefined ? {} : { jwt: { issuer, audience: issuer } }),
      }),
    ],
  })
  const { headers, response } = await auth.api.signUpEmail({
    body: { email, password: 'correct horse battery', name: 'Anna Smith' },
    returnHeaders: true,
  })
  const cookie = headers
    .getSetCookie()
    .map((line) => line.split(';')[0])
    .join('; ')
  for (const user of database['user'] ?? []) user['emailVerified'] = true
  const token = async () => (await auth.api.getToken({ headers: new Headers({ cookie }) })).token
  await token()
  const [stored] = database['jwks'] ?? []
  const privateKey = JSON.parse(String(stored?.['privateKey'])) as JWK | string
  return {
    key: {
      ...((typeof privateKey === 'string' ? JSON.parse(privateKey) : privateKey) as JWK),
      kid: String(stored?.['id']),
    },
    subject: response.user.id,
    token,
  }
}
