import { randomBytes } from 'node:crypto'
import { type BetterAuthProviderOptions, createBetterAuthProvider } from '../../src/accounts/better-auth/provider.js'
import { createCatalogPool } from '../../src/catalog/catalog-pool.js'
import { createUserDirectory } from '../../src/catalog/users/users.js'
import { createAccountsHost } from '../../src/composition/accounts-host.js'
import type { AccountsHost, Mail } from '../../src/core/accounts/accounts.js'
import { loadConfig } from '../../src/core/config/load-config.js'
import { TenancyError } from '../../src/core/errors/errors.js'
import type { UserRecord } from '../../src/core/identity/identity.js'
import type { SqlClient, SqlPool } from '../../src/core/sql-client.js'
import type { ProviderUnderTest } from '../contract/account-provider.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'
import { testServer } from '../support/server.js'
import { startTcpProxy } from '../support/proxies/tcp-proxy.js'
import { type LogEntry, recordingLogger } from './recording-logger.js'

export const publicUrl = 'https://app.example.com'

/** The surroundings of a provider that an application opens: a catalog, a mail sender, a host. */
export interface AccountsFixture {
  readonly catalog: TestDatabase
  readonly host: AccountsHost
  readonly logs: LogEntry[]
  /** Every mail that the provider sent, including those that failed. */
  readonly mails: readonly Mail[]
  readonly mail: { send(mail: Mail): Promise<void> }
  /** Every statement for the catalog, and the events that a test adds. */
  readonly events: string[]
  /** Ids given to `forgetUser`. */
  readonly forgotten: readonly string[]
  /** Runs for each mail that is sent. Default: nothing. */
  sending: (mail: Mail) => Promise<void>
  /** Runs the callbacks given to `onClose`. */
  settle(): Promise<void>
  cutCatalog(): Promise<void>
  close(): Promise<void>
}

export async function createAccountsFixture(): Promise<AccountsFixture> {
  const catalog = await createTestCatalog()
  const { host: hostname, port, user, password } = await testServer()
  const proxy = await startTcpProxy({ host: hostname, port })
  const pool = createCatalogPool({
    host: '127.0.0.1',
    port: proxy.port,
    user,
    password,
    database: catalog.databaseName,
  })
  const { logger, entries } = recordingLogger()
  const mails: Mail[] = []
  const forgotten: string[] = []
  const events: string[] = []
  const closers: (() => Promise<void>)[] = []
  const unused = async () => {
    throw new TenancyError('TENANCY_AUTH_REQUIRED', 'The provider has no use for tokens')
  }
  const fixture: AccountsFixture = {
    catalog,
    host: createAccountsHost({
      config: loadConfig({ TENANT_PUBLIC_URL: publicUrl }),
      logger,
      catalog: recorded(pool, events),
      secret: randomBytes(32),
      pipeline: { handle: unused },
      issueAccessToken: unused,
      forgetUser: (id) => void forgotten.push(id),
      onClose: (close) => void closers.push(close),
    }),
    logs: entries,
    mails,
    mail: {
      async send(mail) {
        mails.push(mail)
        await fixture.sending(mail)
      },
    },
    events,
    forgotten,
    sending: async () => {},
    settle: async () => void (await Promise.all(closers.map((close) => close()))),
    cutCatalog: () => proxy.set('refuse'),
    async close() {
      await fixture.settle()
      await pool.end()
      await proxy.close()
      await catalog.drop()
    },
  }
  return fixture
}

function recorded(pool: SqlPool, events: string[]): SqlPool {
  const recorder = ({ query }: SqlClient): SqlClient => ({
    query(text, values) {
      events.push(text)
      return query(text, values)
    },
  })
  return {
    ...recorder(pool),
    async connect() {
      const { release, ...client } = await pool.connect()
      return { ...recorder(client), release }
    },
  }
}

/** A better-auth provider for the contract suite. */
export async function createProviderUnderTest(
  options: Pick<BetterAuthProviderOptions, 'passwords'> = {},
): Promise<ProviderUnderTest & { readonly fixture: AccountsFixture }> {
  const fixture = await createAccountsFixture()
  const { catalog, host, mail } = fixture
  const provider = await createBetterAuthProvider({ host, mail, ...options }).catch(async (error: unknown) => {
    await fixture.close()
    throw error
  })
  const users = createUserDirectory(catalog.pool)

  async function readUser(address: string): Promise<UserRecord | undefined> {
    const record = await users.findUserByEmail(address)
    return record?.user.email === address ? record : undefined
  }

  return {
    fixture,
    provider,
    async mailsTo(address) {
      await fixture.settle()
      return fixture.mails.filter(({ to }) => to === address)
    },
    readUser,
    async countUsers(address) {
      const { rowCount } = await catalog.pool.query('select from users where lower(email) = lower($1)', [address])
      return rowCount ?? 0
    },
    createUser: (email) => users.createUser({ email }),
    disableUser: async (id) => void (await users.disableUser({ user: id })),
    enableUser: async (id) => void (await users.enableUser({ user: id })),
    cutCatalog: fixture.cutCatalog,
    close: fixture.close,
  }
}
