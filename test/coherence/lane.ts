import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Tenancy } from '../../src/tenancy-interface.js'
import { Timeline } from './timeline.js'

/** Somebody asking with one token for one tenant. */
export interface Subject {
  readonly path: string
  readonly token: string
  readonly tenantId: string
  /** Whether the token counts, and whether its user holds the permission there: each may be out of date by itself. */
  readonly timelines: readonly Timeline[]
}

/** Something that is so or not, by what is written. */
interface Fact {
  readonly timeline: Timeline
  readonly holds: () => boolean
}

interface Token extends Fact {
  readonly text: string
}

interface Person {
  readonly id: string
  isEnabled: boolean
  /** Epoch of the tokens that count. */
  tokenEpoch: number
  /** The newest, and the one before. */
  tokens: Token[]
}

interface Place {
  readonly id: string
  isActive: boolean
}

interface Membership extends Fact {
  readonly person: Person
  readonly place: Place
  isMember: boolean
  hasRole: boolean
  isDenied: boolean
}

/** What {@link Lane} works with. */
export interface LaneOptions {
  readonly number: number
  readonly catalog: pg.Pool
  readonly tenancy: Pick<Tenancy, 'issueAccessToken'>
  readonly random: () => number
}

/**
 * A writer with users, tenants and a permission of its own: one change after the other, and what is right meanwhile.
 * A change that fails is made again until it is known to be there, so each is one that can be made twice.
 */
export class Lane {
  readonly #options: LaneOptions
  readonly #people: Person[] = []
  readonly #places: Place[] = []
  readonly #memberships: Membership[] = []
  #isPermissionActive = true
  changes = 0

  constructor(options: LaneOptions) {
    this.#options = options
  }

  /** Who may be asked for. */
  get subjects(): Subject[] {
    return this.#memberships.flatMap(({ person, place, timeline }) =>
      person.tokens.map((token) => ({
        path: `/lane${this.#options.number}`,
        token: token.text,
        tenantId: place.id,
        timelines: [token.timeline, timeline],
      })),
    )
  }

  async setUp(): Promise<void> {
    for (let index = 0; index < 2; index += 1) {
      const place = { id: randomUUID(), isActive: true }
      await this.#sql('insert into tenants (id, slug, name) values ($1, $2, $2)', [
        place.id,
        `lane${this.#options.number}-place${index}`,
      ])
      this.#places.push(place)
    }
    for (let index = 0; index < 5; index += 1) {
      const person: Person = { id: randomUUID(), isEnabled: true, tokenEpoch: 1, tokens: [] }
      await this.#sql("insert into users (id, email, email_verified) values ($1, $2 || '@example.com', true)", [
        person.id,
        person.id,
      ])
      this.#people.push(person)
      for (const place of this.#places) {
        const membership = this.#membership(person, place)
        this.#memberships.push(membership)
        await this.#addMember(membership)
      }
      await this.#giveToken(person)
    }
  }

  /** Makes one random change. */
  async step(): Promise<void> {
    this.changes += 1
    const membership = this.#pick(this.#memberships)
    const { person, place } = membership
    const member = [person.id, place.id]
    const isRepair = this.#options.random() < 0.8
    if (isRepair && !this.#isPermissionActive) return this.#setPermission(true)
    if (isRepair && !place.isActive) return this.#setPlace(place, true)
    if (isRepair && !person.isEnabled) return this.#enable(person)
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
    return this.#breakSomething(membership)
  }

  #breakSomething(membership: Membership): Promise<void> {
    const { person, place } = membership
    const member = [person.id, place.id]
    const which = this.#options.random()
    // Rare: it puts every member in doubt, and hides what else went wrong.
    if (which < 0.02) return this.#setPermission(false)
    if (which < 0.08) return this.#setPlace(place, false)
    const breaks: (() => Promise<void>)[] = [
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
      () => this.#endTokens(person, 'disabled_at = coalesce(disabled_at, now())', false),
      async () => {
        if (!person.isEnabled) return
        await this.#endTokens(person, 'token_epoch = $2::integer, tokens_valid_after = now()', true)
        await this.#giveToken(person)
      },
    ]
    return this.#pick(breaks)()
  }

  #membership(person: Person, place: Place): Membership {
    const membership: Membership = {
      person,
      place,
      isMember: true,
      hasRole: true,
      isDenied: false,
      timeline: new Timeline(true),
      holds: () =>
        place.isActive && membership.isMember && membership.hasRole && !membership.isDenied && this.#isPermissionActive,
    }
    return membership
  }

  /** Makes a change in the model, then in the catalog, and tells the timelines of what it concerns. */
  async #change(inModel: () => void, inCatalog: () => Promise<unknown>): Promise<void> {
    const facts: Fact[] = [...this.#memberships, ...this.#people.flatMap(({ tokens }) => tokens)]
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
          `lane${this.#options.number}:read`,
          isActive,
        ]),
    )
  }

  #setPlace(place: Place, isActive: boolean): Promise<void> {
    return this.#change(
      () => (place.isActive = isActive),
      () => this.#sql('update tenants set status = $2 where id = $1', [place.id, isActive ? 'active' : 'suspended']),
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
          [membership.person.id, membership.place.id, `lane${this.#options.number}:read`],
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
    const member = [membership.person.id, membership.place.id]
    await this.#sql('insert into user_tenants (user_id, tenant_id) values ($1, $2) on conflict do nothing', member)
    await this.#addRole(membership)
  }

  async #addRole({ person, place }: Membership): Promise<void> {
    await this.#sql(
      `insert into user_tenant_roles (user_id, tenant_id, role_id)
       select $1, $2, id from roles where name = 'Member' and tenant_id is null on conflict do nothing`,
      [person.id, place.id],
    )
  }

  /** No token that was issued until now counts any more. */
  async #endTokens(person: Person, assignments: string, isEnabled: boolean): Promise<void> {
    const next = person.tokenEpoch + 1
    await this.#change(
      () => Object.assign(person, { isEnabled, tokenEpoch: next }),
      () => this.#sql(`update users set ${assignments} where id = $1 and token_epoch < $2::integer`, [person.id, next]),
    )
    // Triggers may have raised it further.
    const { rows } = await this.#sql<{ epoch: number }>('select token_epoch as epoch from users where id = $1', [
      person.id,
    ])
    person.tokenEpoch = rows[0]?.epoch ?? next
  }

  async #enable(person: Person): Promise<void> {
    await this.#change(
      () => (person.isEnabled = true),
      () => this.#sql('update users set disabled_at = null where id = $1', [person.id]),
    )
    const { rows } = await this.#sql<{ epoch: number }>('select token_epoch as epoch from users where id = $1', [
      person.id,
    ])
    person.tokenEpoch = rows[0]?.epoch ?? person.tokenEpoch
    await this.#giveToken(person)
  }

  async #giveToken(person: Person): Promise<void> {
    const { token: text } = await this.#again(() => this.#options.tenancy.issueAccessToken({ user: person.id }))
    const epoch = person.tokenEpoch
    // What a process remembers of the user is from before this token.
    const timeline = new Timeline(false)
    timeline.begin(true)
    timeline.end(true)
    const holds = () => person.isEnabled && person.tokenEpoch === epoch
    person.tokens = [...person.tokens.slice(-1), { text, timeline, holds }]
  }

  #sql<Row extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<pg.QueryResult<Row>> {
    return this.#again(() => this.#options.catalog.query<Row>(text, values))
  }

  async #again<Result>(work: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        // Statements that are wrong are the test's fault; anything else is the catalog's absence.
        if (/^(22|23|42|P0)/.test(String((error as { code?: unknown }).code))) throw error
        await sleep(50)
      }
    }
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#options.random() * items.length)] as Item
  }
}
