import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { quoteIdentifier, quoteLiteral } from '../../src/postgres/text/quote.js'
import { uniqueName, urlOf, withAdmin } from './server.js'

/** An account that only one test uses: every connection of it is the test's. */
export interface TestAccount {
  readonly name: string
  readonly password: string
  /** Address of the server's maintenance database, as this account. */
  readonly url: string
  /** Number of connections of this account that the server shows now. */
  connections(): Promise<number>
  /** Resolves when the server shows none. */
  disconnected(): Promise<void>
  /** Drops the role; what it owns must be gone. */
  drop(): Promise<void>
}

// The embedded server's own databases are closed to PUBLIC, so each account needs CONNECT. The lock lets one test at a time
// grant it: two at once would fail ("tuple concurrently updated").
const lockGrants = 'select pg_advisory_xact_lock(7230999)'

/** Makes an account with these attributes, a superuser unless said otherwise. Call `drop()` when done. */
export async function createTestAccount(attributes = 'superuser'): Promise<TestAccount> {
  const name = uniqueName()
  const password = `pw-${randomBytes(12).toString('hex')}`
  await withAdmin((admin) =>
    admin.query(
      `${lockGrants};
       create role ${quoteIdentifier(name)} login ${attributes} password ${quoteLiteral(password)};
       grant connect on database postgres to ${quoteIdentifier(name)}`,
    ),
  )
  const url = new URL(urlOf('postgres'))
  url.username = name
  url.password = password
  const connections = () =>
    withAdmin(async (admin) => {
      const { rowCount } = await admin.query('select from pg_stat_activity where usename = $1', [name])
      return rowCount ?? 0
    })
  return {
    name,
    password,
    url: url.href,
    connections,
    async disconnected() {
      // A backend ends a moment after its socket has closed.
      while ((await connections()) > 0) await sleep(10)
    },
    async drop() {
      await withAdmin((admin) =>
        admin.query(
          `${lockGrants}; revoke connect on database postgres from ${quoteIdentifier(name)}; drop role ${quoteIdentifier(name)}`,
        ),
      )
    },
  }
}
