import type { z } from 'zod'
import type { SqlClient, SqlPool } from '../core/sql-client.js'
import type { ActorOption } from '../core/audit-actor.js'
import { parse } from './input.js'
import { findTenant } from './tenants/tenant-row.js'
import { inTransaction } from './transaction.js'

/** Whose access is changed, and by whom. */
export interface Scope {
  /** null: the installation's. */
  readonly tenantId: string | null
  /** Id of a user; null: an operator of the installation. */
  readonly actorId: string | null
}

/** A change of one tenant. */
export interface TenantScope extends Scope {
  readonly tenantId: string
}

type Work<Input, Given, Result> = (client: SqlClient, input: Input, scope: Given) => Promise<Result>

/**
 * Makes the methods that change something: the input is checked, then `work` runs in one transaction. A tenant's row is
 * locked first, so that changes of one tenant's access come one after the other: what was checked still holds when it is
 * written, and two members who take each other's rights away don't both succeed.
 */
export function createChange(pool: SqlPool) {
  function make<Input extends ActorOption, TenantId extends string | null, Result>(
    schema: z.ZodType<Input>,
    lockTenant: (client: SqlClient, input: Input) => Promise<TenantId>,
    work: Work<Input, Scope & { readonly tenantId: TenantId }, Result>,
  ) {
    return async (input: unknown): Promise<Result> => {
      const parsed = parse(schema, input)
      return inTransaction(pool, async (client) => {
        const tenantId = await lockTenant(client, parsed)
        return work(client, parsed, { tenantId, actorId: parsed.actor ?? null })
      })
    }
  }

  return {
    /** A change of the installation. */
    ofInstallation: <Input extends ActorOption, Result>(schema: z.ZodType<Input>, work: Work<Input, Scope, Result>) =>
      make(schema, async () => null, work),

    /** A change of one tenant. */
    ofTenant: <Input extends ActorOption & { readonly tenant: string }, Result>(
      schema: z.ZodType<Input>,
      work: Work<Input, TenantScope, Result>,
    ) => make(schema, (client, input) => lockTenantOf(client, input.tenant), work),

    /** A change of one tenant, or with the tenant null of the installation. */
    ofEither: <Input extends ActorOption & { readonly tenant: string | null }, Result>(
      schema: z.ZodType<Input>,
      work: Work<Input, Scope, Result>,
    ) =>
      make(schema, async (client, input) => (input.tenant === null ? null : lockTenantOf(client, input.tenant)), work),
  }
}

async function lockTenantOf(client: SqlClient, idOrSlug: string): Promise<string> {
  return (await findTenant(client, idOrSlug, { lock: true })).id
}
