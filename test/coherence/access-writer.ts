import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Tenancy } from '../../src/tenancy-interface.js'
import { Timeline } from './timeline.js'

/** One token, used for one tenant. */
export interface Subject {
  readonly path: string
  readonly token: string
  readonly tenantId: string
  /** Of the token's validity, and of its user's permission in the tenant: a process may have old data on either. */
  readonly timelines: readonly Timeline[]
}

/** Something that the catalog says is true or false. */
interface Fact {
  readonly timeline: Timeline
  readonly holds: () => boolean
}

interface Token extends Fact {
  readonly text: string
}

interface TestUser {
  readonly id: string
  isEnabled: boolean
  /** Epoch of the valid tokens. */
  tokenEpoch: number
  /** The newest token, and the one before. */
  tokens: Token[]
}

interface TestTenant {
  readonly id: string
  isActive: boolean
}

interface Membership extends Fact {
  readonly user: TestUser
  readonly tenant: TestTenant
  isMember: boolean
  hasRole: boolean
  isDenied: boolean
}

/** Options of {@link AccessWriter}. */
export interface AccessWriterOptions {
  readonly number: number
  readonly catalog: pg.Pool
  readonly tenancy: Pick<Tenancy, 'issueAccessToken'>
  readonly random: () => number
}

/**
 * Changes the access of users, tenants and a permission of its own, one change after another, and knows which answers are
 * right meanwhile. A change that fails is repeated until it is known to be committed, so each change is idempotent.
 */
export class AccessWriter {
  readonly #options: AccessWriterOptions
  readonly #users: TestUser[] = []
  readonly #tenants: TestTenant[] = []
  readonly #memberships: Membership[] = []
  #isPermissionActive = true
  changes = 0

  constructor(options: AccessWriterOptions) {
    this.#options = options
  }

  /** Every token with every tenant of its user. */
  get subjects(): Subject[] {
    return this.#memberships.flatMap(({ user, tenant, timeline }) =>
      user.tokens.map((token) => ({
        path: `/writer${this.#options.number}`,
        token: token.text,
        tenantId: tenant.id,
        timelines: [token.timeline, timeline],
      })),
    )
  }

  async setUp(): Promise<void> {
    for (let index = 0; index < 2; index += 1) {
      const tenant = { id: randomUUID(), isActive: true }
      await this.#sql('insert into tenants (id, slug, name) values ($1, $2, $2)', [
        tenant.id,
        `writer${this.#options.number}-tenant${index}`,
      ])
      this.#tenants.push(tenant)
    }
    for (let index = 0; index < 5; index += 1) {
      const user: TestUser = { id: randomUUID(), isEnabled: true, tokenEpoch: 1, tokens: [] }
      await this.#sql("insert into users (id, email, email_verified) values ($1, $2 || '@example.com', true)", [
        user.id,
        user.id,
      ])
      this.#users.push(user)
      for (const tenant of this.#tenants) {
        const membership = this.#membership(user, tenant)
        this.#memberships.push(membership)
        await this.#addMember(membership)
      }
      await this.#issueToken(user)
    }
  }

  /** Makes one random change. */
  async step(): Promise<void> {
    this.changes += 1
    const membership = this.#pick(this.#memberships)
    const { user, tenant } = membership
    const member = [user.id, tenant.id]
    const isRepair = this.#options.random() < 0.8
    if (isRepair && !this.#isPermissionActive) return this.#setPermission(true)
    if (isRepair && !tenant.isActive) return this.#setTenant(tenant, true)
    if (isRepair && !user.isEnabled) return this.#enable(user)
    if (isRepair && !membership.isMember) return this.#join(membership)
    if (isRepair && membership.isDenied) {
      return this.#change(
        () => (membership.isDenied = false),
        () => this.#sql('delete from user_tenant_permissions where user_id = $1 and tenant_id = $2', member),
      )
    }
    if (isRepair && !membership.hasRole) {
      return this.#change(
        () => (membership.hasRole = true),
        () => this.#addRole(membership),
      )
    }
    return this.#revoke(membership)
  }

  #revoke(membership: Membership): Promise<void> {
    const { user, tenant } = membership
    const member = [user.id, tenant.id]
    const which = this.#options.random()
    // Rare: it changes the answers for every member, and hides other errors.
    if (which < 0.02) return this.#setPermission(false)
    if (which < 0.08) return this.#setTenant(tenant, false)
    const revocations: (() => Promise<void>)[] = [
      () => this.#deny(membership),
      () =>
        this.#change(
          () => (membership.hasRole = false),
          () => this.#sql('delete from user_tenant_roles where user_id = $1 and tenant_id = $2', member),
        ),
      () =>
        this.#change(
          () => Object.assign(membership, { isMember: false, hasRole: false, isDenied: false }),
          () => this.#sql('delete from user_tenants where user_id = $1 and tenant_id = $2', member),
        ),
      () => this.#endTokens(user, 'disabled_at = coalesce(disabled_at, now())', false),
      async () => {
        if (!user.isEnabled) return
        await this.#endTokens(user, 'token_epoch = $2::integer, tokens_valid_after = now()', true)
        await this.#issueToken(user)
      },
    ]
    return this.#pick(revocations)()
  }

  #membership(user: TestUser, tenant: TestTenant): Membership {
    const membership: Membership = {
      user,
      tenant,
      isMember: true,
      hasRole: true,
      isDenied: false,
      timeline: new Timeline(true),
      holds: () =>
        tenant.isActive &&
        membership.isMember &&
        membership.hasRole &&
        !membership.isDenied &&
        this.#isPermissionActive,
    }
    return membership
  }

  /** Makes a change in the model and in the catalog, and enters it into the timelines of the facts that it changes. */
  async #change(inModel: () => void, inCatalog: () => Promise<unknown>): Promise<void> {
    const facts: Fact[] = [...this.#memberships, ...this.#users.flatMap(({ tokens }) => tokens)]
    const before = facts.map((fact) => fact.holds())
    inModel()
    const changed = facts.filter((fact, index) => fact.holds() !== before[index])
    for (const fact of changed) fact.timeline.begin(fact.holds())
    await inCatalog()
    for (const fact of changed) fact.timeline.end(fact.holds())
  }

  #setPermission(isActive: boolean): Promise<void> {
    return this.#change(
      () => (this.#isPermissionActive = isActive),
      () =>
        this.#sql('update permissions set is_active = $2 where name = $1', [
          `writer${this.#options.number}:read`,
          isActive,
        ]),
    )
  }

  #setTenant(tenant: TestTenant, isActive: boolean): Promise<void> {
    return this.#change(
      () => (tenant.isActive = isActive),
      () => this.#sql('update tenants set status = $2 where id = $1', [tenant.id, isActive ? 'active' : 'suspended']),
    )
  }

  #deny(membership: Membership): Promise<void> {
    if (!membership.isMember) return Promise.resolve()
    return this.#change(
      () => (membership.isDenied = true),
      () =>
        this.#sql(
          `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect)
           select $1, $2, id, 'deny' from permissions where name = $3 on conflict do nothing`,
          [membership.user.id, membership.tenant.id, `writer${this.#options.number}:read`],
        ),
    )
  }

  #join(membership: Membership): Promise<void> {
    return this.#change(
      () => Object.assign(membership, { isMember: true, hasRole: true }),
      () => this.#addMember(membership),
    )
  }

  async #addMember(membership: Membership): Promise<void> {
    const member = [membership.user.id, membership.tenant.id]
    await this.#sql('insert into user_tenants (user_id, tenant_id) values ($1, $2) on conflict do nothing', member)
    await this.#addRole(membership)
  }

  async #addRole({ user, tenant }: Membership): Promise<void> {
    await this.#sql(
      `insert into user_tenant_roles (user_id, tenant_id, role_id)
       select $1, $2, id from roles where name = 'Member' and tenant_id is null on conflict do nothing`,
      [user.id, tenant.id],
    )
  }

  /** Revokes all tokens of a user. */
  async #endTokens(user: TestUser, assignments: string, isEnabled: boolean): Promise<void> {
    const next = user.tokenEpoch + 1
    await this.#change(
      () => Object.assign(user, { isEnabled, tokenEpoch: next }),
      () => this.#sql(`update users set ${assignments} where id = $1 and token_epoch < $2::integer`, [user.id, next]),
    )
    // Triggers may have raised it further.
    const { rows } = await this.#sql<{ epoch: number }>('select token_epoch as epoch from users where id = $1', [
      user.id,
    ])
    user.tokenEpoch = rows[0]?.epoch ?? next
  }

  async #enable(user: TestUser): Promise<void> {
    await this.#change(
      () => (user.isEnabled = true),
      () => this.#sql('update users set disabled_at = null where id = $1', [user.id]),
    )
    const { rows } = await this.#sql<{ epoch: number }>('select token_epoch as epoch from users where id = $1', [
      user.id,
    ])
    user.tokenEpoch = rows[0]?.epoch ?? user.tokenEpoch
    await this.#issueToken(user)
  }

  async #issueToken(user: TestUser): Promise<void> {
    const { token: text } = await this.#retry(() => this.#options.tenancy.issueAccessToken({ user: user.id }))
    const epoch = user.tokenEpoch
    // A process may have cached the user before this token was issued.
    const timeline = new Timeline(false)
    timeline.begin(true)
    timeline.end(true)
    const holds = () => user.isEnabled && user.tokenEpoch === epoch
    user.tokens = [...user.tokens.slice(-1), { text, timeline, holds }]
  }

  #sql<Row extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<pg.QueryResult<Row>> {
    return this.#retry(() => this.#options.catalog.query<Row>(text, values))
  }

  async #retry<Result>(work: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        // A wrong statement is an error of the test; otherwise the catalog is unavailable.
        if (/^(22|23|42|P0)/.test(String((error as { code?: unknown }).code))) throw error
        await sleep(50)
      }
    }
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#options.random() * items.length)] as Item
  }
}
