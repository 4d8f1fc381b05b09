import type { z } from 'zod'
import type { SqlClient, SqlPool } from '../core/sql-client.js'
import type { ActorOption } from '../core/audit-actor.js'
import { parse } from './input.js'
import { findTenant } from './tenants/tenant-row.js'
import { inTransaction, type Transaction } from './transaction.js'

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
    lockTenant: (client: SqlClient, input: Input) => Promise<TenantId>,
    work: Work<Input, Scope & { readonly tenantId: TenantId }, Result>,
  ) {
    return async (input: unknown): Promise<Result> => {
      const parsed = parse(schema, input)
      const { tenantId, result } = await inTransaction(pool, async (client) => {
        const id = await lockTenant(client, parsed)
        return { tenantId: id, result: await work(client, parsed, { tenantId: id, actorId: parsed.actor ?? null }) }
      })
      changed(tenantId)
      return result
    }
  }

  return {
    /** Creates a method that changes the installation. */
    ofInstallation: <Input extends ActorOption, Result>(schema: z.ZodType<Input>, work: Work<Input, Scope, Result>) =>
      make(schema, lockInstallation, work),

    /** Creates a method that changes one tenant. */
    ofTenant: <Input extends ActorOption & { readonly tenant: string }, Result>(
      schema: z.ZodType<Input>,
      work: Work<Input, TenantScope, Result>,
    ) => make(schema, (client, input) => lockTenantOf(client, input.tenant), work),

    /** Creates a method that changes one tenant, or the installation if the tenant is null. */
    ofEither: <Input extends ActorOption & { readonly tenant: string | null }, Result>(
      schema: z.ZodType<Input>,
      work: Work<Input, Scope, Result>,
    ) =>
      make(
        schema,
        (client, { tenant }) => (tenant === null ? lockInstallation(client) : lockTenantOf(client, tenant)),
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

async function lockTenantOf(client: SqlClient, idOrSlug: string): Promise<string> {
  return (await findTenant(client, idOrSlug, { lock: true })).id
}
