import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { checkPooler } from '../../src/connections/pooler-check.js'
import { testServer, withAdmin } from '../support/server.js'
import { createInstallation, type Installation } from '../databases/fixture.js'
import type { TenantDatabaseTarget } from '../../src/core/tenants/database-target.js'
import { describeWithPgBouncer, type PgBouncer, startPgBouncer } from './pgbouncer.js'

let installation: Installation
let target: TenantDatabaseTarget
let pgbouncer: PgBouncer | undefined

async function check(settings: Readonly<Record<string, string>> = {}, databases?: string) {
  pgbouncer = await startPgBouncer(settings, databases)
  return checkAt(pgbouncer.port)
}

function checkAt(port: number) {
  const account = { ...target.account, host: '127.0.0.1', port }
  return checkPooler({
    target: { ...target, account },
    isRunning: (pid) =>
      withAdmin(async (admin) => {
        const { rowCount } = await admin.query('select from pg_stat_activity where pid = $1', [pid])
        return rowCount === 1
      }),
  })
}

const unfit = (reason: RegExp) => ({ code: 'TENANCY_POOLER_UNFIT', message: expect.stringMatching(reason) })

describeWithPgBouncer('a pooler is tried before it gets tenant traffic', () => {
  beforeAll(async () => {
    installation = await createInstallation()
    // The limit is as tight as a start can set it: one connection a tenant, one process.
    const { databases } = installation.open({ roleConnectionLimit: 3 })
    target = databases.targetOf(await databases.createTenantDatabase())
  })

  afterEach(async () => {
    await pgbouncer?.stop()
    pgbouncer = undefined
  })

  afterAll(() => installation.drop())

  test('a pooler in transaction mode with a reset after each transaction is fit', async () => {
    await expect(check()).resolves.toBe('transaction')
  })

  test('a pooler with the roles’ SCRAM secrets in a file, without a query for them, is fit', async () => {
    const { user } = target.account
    const { rows } = await withAdmin((admin) =>
      admin.query('select rolpassword as secret from pg_authid where rolname = $1', [user]),
    )
    expect(rows[0].secret).toMatch(/^SCRAM-SHA-256\$1:/)
    pgbouncer = await startPgBouncer({ auth_user: '', auth_query: 'select' }, '', { [user]: rows[0].secret })
    await expect(checkAt(pgbouncer.port)).resolves.toBe('transaction')
  })

  test('a pooler in transaction mode that gives connections out in turn is fit', async () => {
    await expect(check({ server_round_robin: '1' })).resolves.toBe('transaction')
  })

  test('a pooler in transaction mode without a reset is refused, and the setting is named', async () => {
    await expect(check({ server_reset_query_always: '0' })).rejects.toMatchObject(
      unfit(/transaction mode .* server_reset_query_always = 1/),
    )
  })

  test('a pooler in session mode with a reset is fit', async () => {
    await expect(check({ pool_mode: 'session' })).resolves.toBe('session')
  })

  test('a pooler in session mode without a reset is refused', async () => {
    await expect(check({ pool_mode: 'session', server_reset_query: '' })).rejects.toMatchObject(
      unfit(/session mode .* server_reset_query = DISCARD ALL/),
    )
  })

  test('a pooler in statement mode is refused', async () => {
    await expect(check({ pool_mode: 'statement' })).rejects.toMatchObject(unfit(/pool_mode has to be transaction/))
  })

  test('a pooler that does not know the tenants’ roles is refused', async () => {
    const { user } = await testServer()
    await expect(check({ auth_query: `select usename, passwd from pg_shadow where usename = '${user}'` }))
      .rejects //
      .toMatchObject(unfit(/can’t log in through it/))
  })

  test('a pooler that knows only other secrets than the server is refused', async ({ skip }) => {
    const stranger = new pg.Client({ ...target.account, password: 'wrong', ssl: false })
    const isTrusting = await stranger.connect().then(
      () => true,
      () => false,
    )
    await stranger.end()
    skip(isTrusting, 'needs a server that asks for passwords: its pg_hba.conf trusts this machine')
    const auth_query = "select rolname, 'md5' from pg_authid where rolname = $1"
    await expect(check({ auth_type: 'trust', auth_query })).rejects.toMatchObject(unfit(/can’t log in through it/))
  })

  test('a pooler that logs in as another role is refused', async () => {
    const { host, port, user, password } = await testServer()
    // A server with trust authentication asks for no password, and PgBouncer accepts no empty one.
    const login = `user=${user}${password === '' ? '' : ` password=${password}`}`
    const forced = `${target.account.database} = host=${host} port=${port} ${login}`
    await expect(check({ auth_type: 'any' }, forced)).rejects.toMatchObject(
      unfit(/reached another one \(role_name differ/),
    )
  })

  test('a pooler that leads to another database is refused', async () => {
    const { databases } = installation.open()
    const other = databases.targetOf(await databases.createTenantDatabase())
    const { host, port } = await testServer()
    const swapped = `${target.account.database} = host=${host} port=${port} dbname=${other.account.database}`
    // The server refuses it: a tenant's role can connect to its own database only.
    await expect(check({}, swapped)).rejects.toMatchObject(unfit(/permission denied for database/))
  })

  test('a server in place of a pooler counts as session mode and hands no session on', async () => {
    const { port } = await testServer()
    await expect(checkAt(port)).resolves.toBe('session')
  })

  test('an address where nothing answers is an outage', async () => {
    const gone = await startPgBouncer()
    await gone.stop()
    await expect(checkAt(gone.port)).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  })
})
