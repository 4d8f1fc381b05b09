import { Client } from 'pg'
import { createRuleSetReader } from '../../../src/catalog/access/rule-set-reader.js'
import { createMemberDirectory } from '../../../src/catalog/members/member-directory.js'
import { createTestCatalog } from '../../support/catalog.js'
import { findMember } from '../../support/find-member.js'

/** A catalog with helpers to fill it and to watch its epochs. */
export type AccessCatalog = Awaited<ReturnType<typeof createAccessCatalog>>

/** Creates a new catalog with the few writes that tests of access need. */
export async function createAccessCatalog() {
  const catalog = await createTestCatalog()
  const { pool } = catalog
  const listener = new Client({ connectionString: catalog.url })
  await listener.connect()
  await listener.query('listen tenants2fast_epochs')
  const notices: string[] = []
  listener.on('notification', ({ payload }) => notices.push(payload ?? ''))
  let serial = 0

  const one = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row> => {
    const { rows } = await pool.query<Row>(text, values)
    if (rows[0] === undefined) throw new Error(`no row: ${text}`)
    return rows[0]
  }
  return {
    pool,
    one,
    directory: createMemberDirectory(pool),
    rules: createRuleSetReader(pool),
    async addUser(): Promise<string> {
      serial += 1
      return (
        await one<{ id: string }>('insert into users (email) values ($1) returning id', [`u${serial}@example.com`])
      ).id
    },
    async addTenant(): Promise<{ id: string; slug: string }> {
      serial += 1
      return one('insert into tenants (id, slug, name) values (gen_random_uuid(), $1, $1) returning id, slug', [
        `tenant-${serial}`,
      ])
    },
    async addMember(tenantId: string, ...roles: string[]): Promise<string> {
      const userId = await this.addUser()
      await this.join(userId, tenantId, ...roles)
      return userId
    },
    async join(userId: string, tenantId: string, ...roles: string[]): Promise<void> {
      await pool.query('insert into user_tenants (user_id, tenant_id) values ($1, $2)', [userId, tenantId])
      await pool.query(
        `insert into user_tenant_roles (user_id, tenant_id, role_id)
         select $1, $2, id from roles where name = any ($3) and (tenant_id is null or tenant_id = $2)`,
        [userId, tenantId, roles],
      )
    },
    async addPermission(name: string): Promise<number> {
      return (await one<{ id: number }>('insert into permissions (name) values ($1) returning id', [name])).id
    },
    async addRole(tenantId: string | null, name: string, ...permissionIds: number[]): Promise<string> {
      const { id } = await one<{ id: string }>('insert into roles (tenant_id, name) values ($1, $2) returning id', [
        tenantId,
        name,
      ])
      await pool.query('insert into role_permissions (role_id, permission_id) select $1, unnest($2::int[])', [
        id,
        permissionIds,
      ])
      return id
    },
    /** Reads the names of the permissions that the catalog grants the member. */
    async held(userId: string, tenantId: string): Promise<string[]> {
      const member = await findMember(this.directory, userId, { kind: 'id', value: tenantId })
      const { rows } = await pool.query<{ name: string }>(
        'select name from permissions where id = any ($1) order by name',
        [member?.grants.permissionIds ?? []],
      )
      return rows.map((row) => row.name)
    },
    /** Reports the epochs that `work` raises, as stored in the database and as announced. */
    async raisedBy(work: () => Promise<unknown>): Promise<string[]> {
      const before = await readAll()
      const from = await settledNotices()
      await work()
      const after = await readAll()
      const to = await settledNotices()
      const raised = [...after].filter(([key, epoch]) => epoch > (before.get(key) ?? epoch)).map(([key]) => key)
      const announced = notices.slice(from, to).filter((notice) => !notice.startsWith('mark:'))
      const latest = raised.map((key) => `${key}:${after.get(key)}`)
      // The announcement of a single membership continues with its tenant.
      if (latest.some((notice) => !announced.some((text) => text === notice || text.startsWith(`${notice}:`)))) {
        throw new Error(`raised [${latest.join(', ')}] but announced [${announced.join(', ')}]`)
      }
      return raised.toSorted()
    },
    /** Returns the texts of all notifications that `work` causes, in their order. */
    async noticesOf(work: () => Promise<unknown>): Promise<string[]> {
      const from = await settledNotices()
      await work()
      const to = await settledNotices()
      return notices.slice(from, to).filter((notice) => !notice.startsWith('mark:'))
    },
    /** Resolves when a session of this catalog waits for another session's lock. */
    async untilSomebodyWaits(): Promise<void> {
      const waiting = `select count(*)::int as count from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`
      while ((await one<{ count: number }>(waiting)).count === 0);
    },
    async drop(): Promise<void> {
      await listener.end()
      await catalog.drop()
    },
  }

  async function readAll(): Promise<Map<string, number>> {
    const { rows } = await pool.query<{ key: string; epoch: number }>(
      `select 'u:' || id as key, access_epoch::float8 as epoch from users
       union all select 't:' || id, access_epoch::float8 from tenants
       union all select 'r', rules_epoch::float8 from installation`,
    )
    return new Map(rows.map(({ key, epoch }) => [key, epoch]))
  }

  /** Waits until all announcements so far have arrived and returns their number. */
  async function settledNotices(): Promise<number> {
    serial += 1
    const mark = `mark:${serial}`
    await pool.query("select pg_notify('tenants2fast_epochs', $1)", [mark])
    while (!notices.includes(mark)) await listener.query('select 1')
    return notices.length
  }
}
