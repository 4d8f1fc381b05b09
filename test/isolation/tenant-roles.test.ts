import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testServer, withAdmin } from '../support/server.js'
import { endConnections, openInstallation, type TestInstallation, type TestTenant } from './installation.js'

// The number of tenants, of which all pairs are tried: a dozen in the suite, 200 in the soak.
const count = Number(process.env['T2F_ROLE_TENANTS'] ?? 12)

let installation: TestInstallation
let attacker: TestTenant
let victim: TestTenant
/** A connection of the victim, which the attacker tries to listen to, to cancel and to terminate. */
let victimClient: pg.Client

beforeAll(async () => {
  installation = await openInstallation({
    count,
    schema: `
      create table notes (id int generated always as identity primary key, tenant text not null);
      create schema app;
      create table app.things (id int primary key);
      create function app.touch() returns trigger language plpgsql as $$ begin return new; end $$;`,
    seed: ({ slug }) => `insert into notes (tenant) values ('${slug}')`,
  })
  ;[attacker, victim] = installation.tenants as [TestTenant, TestTenant]
  victimClient = await connect(victim.account)
}, 600_000)

afterAll(async () => {
  await victimClient?.end()
  await installation?.close()
}, 600_000)

async function connect(account: object): Promise<pg.Client> {
  const client = new pg.Client(account)
  client.on('error', () => {})
  await client.connect()
  return client
}

/** SQLSTATE of the refusal; undefined: the connection was accepted. */
async function refusal(account: object): Promise<string | undefined> {
  const client = new pg.Client(account)
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  await client.end()
  return undefined
}

/** Whether the server accepts any password, as a local one may for connections of its machine. */
async function trustsEverybody(): Promise<boolean> {
  return (await refusal({ ...victim.account, password: 'wrong' })) === undefined
}

async function asAttacker<Result>(work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = await connect(attacker.account)
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

const insufficientPrivilege = '42501'
const tooManyConnections = '53300'

test('No tenant’s role connects to another tenant’s database: all pairs', { timeout: 1_800_000 }, async () => {
  const { tenants } = installation
  const pairs = tenants.flatMap((one) => tenants.map((other) => [one, other] as const))
  const surprises: string[] = []
  let refused = 0
  let admitted = 0
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
        const [one, other] = pair
        const code = await refusal({ ...one.account, database: other.account.database })
        // Not an answer: the role's earlier tries count until their backends have ended.
        if (code === tooManyConnections) pairs.unshift(pair)
        else if (one === other && code === undefined) admitted += 1
        else if (one !== other && code === insufficientPrivilege) refused += 1
        else surprises.push(`${one.tenant.slug} in ${other.tenant.slug}: ${code ?? 'got in'}`)
      }
    }),
  )
  expect(surprises).toEqual([])
  expect([admitted, refused]).toEqual([tenants.length, tenants.length * (tenants.length - 1)])
})

test('No tenant’s role connects to the catalog, a template, or the embedded server’s own databases', async () => {
  const { rows } = await withAdmin((admin) =>
    admin.query('select datname from pg_database where starts_with(datname, $1)', [`${installation.prefix}template_`]),
  )
  expect(rows).toHaveLength(1)
  const { embedded } = await testServer()
  const forbidden = [installation.catalogDatabase, ...(embedded ? ['postgres', 'template1'] : [])]
  for (const { account } of installation.tenants) {
    for (const database of forbidden) expect(await refusal({ ...account, database })).toBe(insufficientPrivilege)
    // These accept no connections at all.
    for (const database of [rows[0].datname, 'template0']) expect(await refusal({ ...account, database })).toBe('55000')
    expect(await refusal({ ...account, database: `${account.database}x` })).toBe('3D000')
  }
})

test('The password of one tenant’s role is refused for every other role', async (context) => {
  if (await trustsEverybody())
    context.skip('needs a server that asks for passwords: its pg_hba.conf trusts this machine')
  const { password } = attacker.account
  expect(await refusal({ ...victim.account, password })).toBe('28P01')
  const { user } = await testServer()
  expect(await refusal({ ...attacker.account, user })).toBe('28P01')
  expect(await refusal({ ...attacker.account, user: `${installation.prefix}members` })).toMatch(/^28/)
})

/** A is the attacker's role and database, B the victim's, M the group role, S the superuser, P the victim's process. */
const attacks = [
  // Become another role.
  'set role B',
  'set role S',
  'set session authorization B',
  'grant B to A',
  'grant M to A with admin option',
  'grant pg_read_all_data to A',
  'alter role A superuser',
  'alter role A createrole createdb',
  'alter role A bypassrls replication',
  'alter role A connection limit 1000',
  "alter role A valid until 'infinity'",
  'alter role A rename to B2',
  "alter role B password 'mine'",
  "alter role B set search_path = 'x'",
  'alter role all set search_path = x',
  'drop role B',
  'create role C login',
  'set local session authorization S',
  // Change the server or other databases.
  'create database C',
  'drop database B',
  'alter database A connection limit 0',
  "alter database A set search_path = 'x'",
  'alter database B rename to C',
  "comment on database B is 'x'",
  "alter system set work_mem = '1GB'",
  'select pg_reload_conf()',
  'checkpoint',
  "create tablespace t location '/tmp'",
  "select pg_create_logical_replication_slot('s', 'pgoutput')",
  "create subscription s connection 'dbname=x' publication p",
  'create publication p',
  'select pg_stat_reset()',
  "select pg_database_size('B')",
  // Make lasting objects of its own, or change the application's.
  'create schema mine',
  'create table public.mine (id int)',
  'create table app.mine (id int)',
  'create view public.notes2 as select * from notes',
  "create function public.mine() returns int language sql as 'select 1'",
  "create or replace function app.touch() returns trigger language plpgsql as 'begin return null; end'",
  'create type public.mine as (id int)',
  'create sequence public.mine',
  'create operator public.=== (leftarg = int, rightarg = int, function = int4eq)',
  'create extension pg_trgm',
  'create extension dblink',
  'create extension postgres_fdw',
  'create extension file_fdw',
  'create language plpython3u',
  'create event trigger mine on ddl_command_end execute function app.touch()',
  'create foreign data wrapper mine',
  'alter table notes add column spoiled int',
  'alter table notes disable trigger all',
  'alter table notes owner to A',
  'create index on notes (tenant)',
  'create trigger mine before insert on notes for each row execute function app.touch()',
  'create rule mine as on insert to notes do instead nothing',
  'create policy mine on notes using (true)',
  "comment on table notes is 'x'",
  'drop table notes',
  'drop schema app cascade',
  'truncate notes',
  'cluster notes using notes_pkey',
  // Read or change our own schema.
  'select * from tenants2fast.schema_migrations',
  "insert into tenants2fast.schema_migrations values (9, 'x', 'x')",
  'update tenants2fast.identity set epoch = 2',
  'insert into tenants2fast.identity values (gen_random_uuid(), 1)',
  'delete from tenants2fast.identity',
  'truncate tenants2fast.identity',
  'lock table tenants2fast.identity in exclusive mode',
  'create table tenants2fast.mine (id int)',
  'alter schema tenants2fast owner to A',
  'drop schema tenants2fast cascade',
  // Read or write files, or run programs.
  'select rolpassword from pg_authid',
  'select * from pg_shadow',
  "select pg_read_file('PG_VERSION')",
  "select pg_ls_dir('.')",
  "select lo_import('/etc/passwd')",
  "select lo_export(lo_create(0), '/tmp/t2f-attack')",
  "copy notes to '/tmp/t2f-attack'",
  "copy notes from '/etc/passwd'",
  "copy notes to program 'id'",
  "copy notes from program 'id'",
  "load 'auto_explain'",
  'select * from pg_hba_file_rules',
  // Settings for superusers only.
  'set session_replication_role = replica',
  'set log_statement = none',
  "set session_preload_libraries = 'x'",
  'set lo_compat_privileges = on',
  'set allow_system_table_mods = on',
  'alter role A set session_replication_role = replica',
  'delete from pg_authid',
  'update pg_database set datallowconn = true',
  // Sessions of others.
  'select pg_terminate_backend(P)',
  'select pg_cancel_backend(P)',
] as const

test.each(attacks)('A tenant’s role cannot run: %s', async (attack) => {
  const { user: superuser } = await testServer()
  const { rows } = await victimClient.query<{ pid: number }>('select pg_backend_pid() as pid')
  const names: Record<string, string> = {
    A: `"${attacker.account.user}"`,
    B: `"${victim.account.user}"`,
    B2: `"${victim.account.user}2"`,
    C: `"${installation.prefix}new"`,
    M: `"${installation.prefix}members"`,
    S: `"${superuser}"`,
    P: String(rows[0]?.pid),
  }
  const statement = attack
    .replace(`'B'`, `'${victim.account.database}'`)
    .replaceAll(/\b(?:A|B|B2|C|M|S|P)\b/g, (name) => names[name] ?? name)
  const failure = await asAttacker((client) =>
    client.query(`begin; ${statement}; commit`).then(
      () => undefined,
      (error: { code: string; message: string }) => error,
    ),
  )
  // Refused for lack of privileges; or, before those are checked, because the object does not exist or a transaction is
  // open.
  const outside = /^(?:create|drop|alter) (?:database|tablespace|system|subscription)/.test(attack)
  const code = outside ? await codeOf(statement) : failure?.code
  expect(code).toMatch(/^(?:42501|0A000|58P01|42704|55P02)$/)
  if (code !== insufficientPrivilege) {
    expect(failure?.message).toMatch(
      /is not available|could not open extension control file|does not exist|cannot be changed|session user cannot be renamed/,
    )
  }
})

/** SQLSTATE of a statement that can't run in a transaction. */
function codeOf(statement: string): Promise<string | undefined> {
  return asAttacker((client) =>
    client.query(statement).then(
      () => undefined,
      (error: { code: string }) => error.code,
    ),
  )
}

test('Statements that a tenant’s role may run have no effect on other tenants', async () => {
  const members = `"${installation.prefix}members"`
  await asAttacker(async (client) => {
    const attempts = [
      `set role ${members}`,
      `alter role ${members} set search_path = 'x'`,
      `alter role ${members} password 'x'`,
      `alter default privileges for role ${members} grant all on tables to public`,
      'reset role',
      `drop owned by ${members}`,
      `reassign owned by ${members} to current_user`,
      'drop owned by current_user',
      'grant select on notes to public',
      `grant select on notes to "${victim.account.user}"`,
      'alter default privileges grant all on tables to public',
      'vacuum notes',
      'analyze notes',
      'select pg_logical_emit_message(false, $$a$$, $$b$$)',
      'select lo_create(0)',
      'notify news, $$for everybody$$',
    ]
    for (const attempt of attempts) await client.query(attempt)
  })
  const fresh = await connect(victim.account)
  const path = await fresh.query('show search_path')
  expect(path.rows).toEqual([{ search_path: '"$user", public' }])
  expect((await fresh.query('select tenant from notes')).rows).toEqual([{ tenant: victim.tenant.slug }])
  await fresh.end()
  const acl = await withAdmin(
    (admin) => admin.query("select relacl::text as acl from pg_class where relname = 'notes'"),
    attacker.account.database,
  )
  expect(acl.rows[0].acl).not.toMatch(/[{,]=/)
  expect(acl.rows[0].acl).not.toContain(victim.account.user)
  expect(await refusal({ ...attacker.account, user: `${installation.prefix}members`, password: 'x' })).toBe('28000')
  // Its own database still works for it.
  const pool = installation.tenancy.getTenantPool(attacker.tenant)
  expect((await pool.query('select tenant from notes')).rows).toEqual([{ tenant: attacker.tenant.slug }])
})

test('Notifications and advisory locks do not reach other databases', async () => {
  const heard: unknown[] = []
  victimClient.on('notification', (message) => heard.push(message.payload))
  await victimClient.query('listen news')
  await asAttacker(async (client) => {
    await client.query("notify news, 'from the attacker'")
    await client.query('select pg_advisory_lock(42)')
    expect((await victimClient.query('select pg_try_advisory_lock(42) as mine')).rows).toEqual([{ mine: true }])
  })
  await victimClient.query("notify news, 'own'")
  expect(heard).toEqual(['own'])
})

test('A tenant’s role sees neither statements nor addresses of other tenants’ sessions', async () => {
  await victimClient.query("select 'the secret of the victim'")
  const rows = await asAttacker(async (client) => {
    const seen = await client.query<{ usename: string; query: string; client_addr: string | null }>(
      'select usename, query, client_addr from pg_stat_activity where usename <> current_user',
    )
    return seen.rows
  })
  expect(rows.some(({ usename }) => usename === victim.account.user)).toBe(true)
  for (const { query, client_addr: address } of rows) {
    expect([query, address]).toEqual(['<insufficient privilege>', null])
  }
})

test('A role that changes its own password and settings cannot lock the application out or affect a later connection', async () => {
  const { tenancy } = installation
  const events: unknown[] = []
  const onEvent = (event: unknown) => events.push(event)
  subscribe('tenants2fast:connection:role-restored', onEvent)
  const trusting = await trustsEverybody()
  const passwords = [
    ["alter role current_user password 'known to the attacker'"],
    ['alter role current_user password null'],
    // Costs each login computing time. (Not hours of it: the server would compute as long, for the empty password.)
    [
      `alter role current_user password 'SCRAM-SHA-256$500000:c2FsdHNhbHRzYWx0c2Fs$${'A'.repeat(43)}=:${'A'.repeat(43)}='`,
    ],
  ]
  const poisons = [
    ...(trusting ? [] : passwords),
    ['alter role current_user set search_path = app, public'],
    ["alter role current_user set statement_timeout = '1ms'"],
    ["alter role current_user set idle_session_timeout = '1ms'"],
    [`alter role current_user set role = "${installation.prefix}members"`],
    [
      'alter role current_user set default_transaction_read_only = on',
      "alter role current_user set datestyle = 'German'",
    ],
    [`alter role current_user in database "${attacker.account.database}" set row_security = off`],
  ]
  let restored = tenancy.stats().rolesRestored
  for (const poison of poisons) {
    const pool = tenancy.getTenantPool(attacker.tenant)
    // An attacker with an SQL injection has a pooled connection, not the password.
    for (const statement of poison) await pool.query(statement)
    await endConnections(tenancy, attacker)
    const again = tenancy.getTenantPool(attacker.tenant)
    const { rows } = await again.query(
      `select current_user = session_user as own_role, current_setting('search_path') as path,
         current_setting('statement_timeout') as timeout, current_setting('datestyle') as dates,
         current_setting('default_transaction_read_only') as read_only, current_setting('row_security') as rls`,
    )
    expect(rows).toEqual([
      { own_role: true, path: '"$user", public', timeout: '0', dates: 'ISO, MDY', read_only: 'off', rls: 'on' },
    ])
    restored += 1
    expect(tenancy.stats().rolesRestored).toBe(restored)
    const other = await refusal({ ...attacker.account, password: 'known to the attacker' })
    expect(other).toBe(trusting ? undefined : '28P01')
  }
  unsubscribe('tenants2fast:connection:role-restored', onEvent)
  expect(events).toHaveLength(poisons.length)
  expect(JSON.stringify(events)).not.toContain(attacker.account.password)
  expect(installation.log.filter((line) => line.includes('had changed its own'))).toHaveLength(restored)
  expect(tenancy.stats()).toMatchObject({ identityMismatches: 0, rejected: 0 })
})
