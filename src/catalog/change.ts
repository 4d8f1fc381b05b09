import type { z } from 'zod'
import type { SqlClient, SqlPool } from '../core/sql-client.js'
import type { ActorOption } from '../core/audit-actor.js'
import { parse } from './input.js'
import { parseTenantRef } from '../core/tenants/slug.js'
import { findTenant } from './tenants/tenant-row.js'
import { inOrder, inTransaction, type Transaction } from './transaction.js'

/** The tenant whose access is changed, and the actor. */
export interface Scope {
  /** Id of the tenant; null: the installation. */
  readonly tenantId: string | null
  /** Id of a user; null: an operator of the installation. */
  readonly actorId: string | null
}

/** A change of one tenant. */
export interface TenantScope extends Scope {
  readonly tenantId: string
}

type Work<Input, Given, Result> = (client: Transaction, input: Input, scope: Given) => Promise<Result>

/**
 * Creates the functions for methods that change access: each checks its input, then runs `work` in one transaction. The
 * tenant's row is locked first, for a change of the installation the installation's, so that changes of one tenant's access run
 * one after the other. What was checked therefore still holds when it is written, and two members who revoke each other's
 * rights cannot both succeed.
 *
 * @param changed is told the tenant of each call that succeeded, by id; null: the installation
 */
export function createChange(pool: SqlPool, changed: (tenantId: string | null) => void = () => {}) {
  function make<Input extends ActorOption, TenantId extends string | null, Result>(
    schema: z.ZodType<Input>,
    lockOf: (input: Input) => Lock<TenantId>,
    work: Work<Input, Scope & { readonly tenantId: TenantId }, Result>,
  ) {
    return async (input: unknown): Promise<Result> => {
      const parsed = parse(schema, input)
      const { knownId, take } = lockOf(parsed)
      const workIn = (client: Transaction, tenantId: TenantId) =>
        work(client, parsed, { tenantId, actorId: parsed.actor ?? null })
      const { tenantId, result } = await inTransaction(pool, async (client) => {
        if (knownId === undefined) {
          const id = await take(client)
          return { tenantId: id, result: await workIn(client, id) }
        }
        const { locked, guarded } = lockTogether(client, take)
        const [id, done] = await inOrder([locked, workIn(guarded, knownId)])
        return { tenantId: id, result: done }
      })
      changed(tenantId)
      return result
    }
  }

  return {
    /** Creates a method that changes the installation. */
    ofInstallation: <Input extends ActorOption, Result>(schema: z.ZodType<Input>, work: Work<Input, Scope, Result>) =>
      make(schema, () => installationLock, work),

    /** Creates a method that changes one tenant. */
    ofTenant: <Input extends ActorOption & { readonly tenant: string }, Result>(
      schema: z.ZodType<Input>,
      work: Work<Input, TenantScope, Result>,
    ) => make(schema, ({ tenant }) => lockOfTenant(tenant), work),

    /** Creates a method that changes one tenant, or the installation if the tenant is null. */
    ofEither: <Input extends ActorOption & { readonly tenant: string | null }, Result>(
      schema: z.ZodType<Input>,
      work: Work<Input, Scope, Result>,
    ) =>
      make<Input, string | null, Result>(
        schema,
        ({ tenant }) => (tenant === null ? installationLock : lockOfTenant(tenant)),
        work,
      ),
  }
}

/**
 * Locks the installation's row, which every change of permissions, route rules and built-in roles writes in the end: who takes it
 * first waits for nobody who waits for it.
 */
export async function lockInstallation(client: SqlClient): Promise<null> {
  await client.query('select from installation for no key update')
  return null
}

/** The row that a change locks first. */
interface Lock<TenantId> {
  /** What `take` returns, if it does not fail; undefined: only the catalog knows. */
  readonly knownId: TenantId | undefined
  readonly take: (client: SqlClient) => Promise<TenantId>
}

const installationLock: Lock<null> = { knownId: null, take: lockInstallation }

function lockOfTenant(idOrSlug: string): Lock<string> {
  const ref = parseTenantRef(idOrSlug)
  return {
    knownId: ref?.kind === 'id' ? ref.value : undefined,
    take: async (client) => (await findTenant(client, idOrSlug, { lock: true })).id,
  }
}

/**
 * Takes a lock in one message with what is issued meanwhile by the returned client, which runs after it. That client commits
 * nothing before the lock is known to be taken: there may be no such row.
 */
function lockTogether<Id>(client: Transaction, take: (client: SqlClient) => Promise<Id>) {
  let isAnswered = false
  const locked = take({
    async query<Row extends object>(text: string, values?: unknown[]) {
      const result = await client.query<Row>(text, values)
      // Before anything else that this message asked is answered.
      isAnswered = result.rowCount !== 0
      return result
    },
  })
  const guarded: Transaction = {
    query: (text, values) => client.query(text, values),
    commit: () => (isAnswered ? client.commit() : locked.then(() => client.commit())),
  }
  return { locked, guarded }
}
