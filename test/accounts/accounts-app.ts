import { randomBytes, randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, {
  type FastifyInstance,
  type FastifyServerOptions,
  type InjectOptions,
  type LightMyRequestResponse,
} from 'fastify'
import pg from 'pg'
import { type Accounts, createAccounts, type CreateAccountsOptions } from '../../src/accounts/index.js'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import type { Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { urlOf } from '../support/server.js'

/** A user whose address is verified. */
export interface TestUser {
  readonly id: string
  readonly email: string
  readonly password: string
}

/** The answer of `/login` and `/token`. */
export interface Tokens {
  readonly access_token: string
  readonly token_type: string
  readonly expires_in: number
  readonly refresh_token: string
}

type Method = NonNullable<InjectOptions['method']>

/** A request below the prefix of accounts. */
export interface AccountRequest {
  readonly json?: unknown
  readonly form?: Readonly<Record<string, string>> | string
  readonly token?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Default: an address that nobody else has, so that tests do not use up each other's limits. */
  readonly from?: string
}

/** An answer of the application. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, number | string | readonly string[] | undefined>>
  readonly body: string
  readonly json: LightMyRequestResponse['json']
}

/** Accounts on a separate installation, served by Fastify. */
export interface AccountsApp {
  readonly installation: Installation
  readonly tenancy: Tenancy
  readonly accounts: Accounts
  readonly app: FastifyInstance
  /** The catalog, on connections of its own. */
  readonly catalog: pg.Pool
  call(method: Method, path: string, request?: AccountRequest): Promise<Answer>
  /** Registers and verifies a user. */
  addUser(password?: string): Promise<TestUser>
  login(user: TestUser): Promise<Tokens>
  /** Waits for the newest link of a kind sent to an address, and returns its token. */
  linkTo(email: string, kind: 'verify-email' | 'password/reset' | 'email/confirm' | 'email/stop'): Promise<string>
  /** Counts the mails sent to an address, of those that have been waited for. */
  mailsTo(email: string): number
  close(): Promise<void>
}

/** An address that nobody else has. */
export function someAddress(): string {
  return `10.${randomInt(256)}.${randomInt(256)}.${randomInt(1, 255)}`
}

/** An e-mail address that nobody else has. */
export function someEmail(): string {
  return `${randomBytes(8).toString('hex')}@example.com`
}

/** Opens an installation, with accounts whose mails go to its log, as in development. */
export async function createAccountsApp(
  options: {
    readonly env?: Readonly<Record<string, string>>
    readonly fastify?: FastifyServerOptions
    readonly accounts?: Partial<CreateAccountsOptions>
    /** Adds to the application before the plugin. */
    readonly before?: (app: FastifyInstance) => void
  } = {},
): Promise<AccountsApp> {
  const installation = createInstallation(options.env)
  try {
    return await open(installation, options)
  } catch (error) {
    await installation.drop()
    throw error
  }
}

async function open(
  installation: Installation,
  options: NonNullable<Parameters<typeof createAccountsApp>[0]>,
): Promise<AccountsApp> {
  const tenancy = await installation.open()
  const accounts = await createAccounts({ tenancy, ...options.accounts })
  const app = Fastify(options.fastify ?? {}) as unknown as FastifyInstance
  options.before?.(app)
  await app.register(tenancyPlugin, { tenancy, accounts })
  const catalog = new pg.Pool({ connectionString: urlOf(installation.catalogName), max: 4 })

  function linksTo(email: string, kind: string): string[] {
    const links = installation.log
      .filter((line) => 'to' in line.fields && line.fields.to === email && 'links' in line.fields)
      .flatMap((line) => (line.fields as { links: readonly string[] }).links)
    return links.filter((link) => link.includes(`/${kind}?token=`))
  }

  const used = new Set<string>()
  const self: AccountsApp = {
    installation,
    tenancy,
    accounts,
    app,
    catalog,
    async call(method, path, request = {}) {
      const { json, form, token, headers = {}, from = someAddress() } = request
      const body =
        json === undefined
          ? form === undefined
            ? undefined
            : { type: 'application/x-www-form-urlencoded', text: String(new URLSearchParams(form)) }
          : { type: 'application/json', text: JSON.stringify(json) }
      const response = await app.inject({
        method,
        url: `/auth${path}`,
        remoteAddress: from,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': body.type }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: body.text }),
      })
      return {
        status: response.statusCode,
        headers: response.headers,
        body: response.body,
        json: () => response.json(),
      }
    },
    async addUser(password = `correct horse ${randomBytes(4).toString('hex')}`) {
      const email = someEmail()
      await accounts.provider.register({ email, password, name: 'Ada' })
      const token = await self.linkTo(email, 'verify-email')
      const id = await accounts.provider.verifyEmail({ token, password })
      return { id, email, password }
    },
    async login({ email, password }) {
      const answer = await self.call('POST', '/login', { json: { email, password } })
      if (answer.status !== 200) throw new Error(`The login failed: ${answer.status} ${answer.body}`)
      return answer.json<Tokens>()
    },
    async linkTo(email, kind) {
      for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 10) {
        const link = linksTo(email, kind).findLast((candidate) => !used.has(candidate))
        if (link !== undefined) {
          used.add(link)
          return new URL(link).searchParams.get('token')!
        }
        await sleep(10)
      }
      throw new Error(`No link ${kind} was sent to ${email}`)
    },
    mailsTo: (email) => installation.log.filter((line) => 'to' in line.fields && line.fields.to === email).length,
    async close() {
      await app.close()
      await catalog.end()
      await installation.drop()
    },
  }
  return self
}
