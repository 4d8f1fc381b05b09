import { z } from 'zod'
import { actor, parse, schemaOf, tenantRef, userRef } from './catalog/input.js'
import type { ActivityOptions } from './composition/observing/activity.js'
import { maxFleetParallelism } from './composition/opening/open-fleet.js'
import type { FleetCheckOptions, FleetCheckResult } from './core/fleet/fleet-check.js'
import type { IssueAccessTokenInput, RotateSigningKeysInput, RunWithTenantInput } from './tenancy-interface.js'

// What the functions of `tenancy` take that are not the catalog's.

export const issueAccessTokenInput = schemaOf<IssueAccessTokenInput>()(
  z.strictObject({ user: userRef, tenant: tenantRef.optional(), actor }),
)
export const rotateSigningKeysInput = schemaOf<RotateSigningKeysInput>()(
  z.strictObject({ withdraw: z.boolean().optional(), actor }),
)
export const runWithTenantInput = schemaOf<RunWithTenantInput>()(z.strictObject({ tenant: tenantRef }))
export const activityOptions = schemaOf<ActivityOptions>()(z.strictObject({ withQueries: z.boolean().optional() }))
export const fleetCheckOptions = schemaOf<FleetCheckOptions>()(
  z.strictObject({
    tenants: z.array(tenantRef).readonly().optional(),
    parallelism: z.int().min(1).max(maxFleetParallelism).optional(),
    anyVersion: z.boolean().optional(),
    signal: z.instanceof(AbortSignal).optional(),
    onResult: z
      .custom<(result: FleetCheckResult) => unknown>((value) => typeof value === 'function', 'must be a function')
      .optional(),
  }),
)

const callbackInput = z.custom<() => unknown>((value) => typeof value === 'function', 'must be a function')

/** @throws {@link TenancyError} TENANCY_REQUEST_INVALID: no function */
export function requireCallback(callback: unknown): void {
  parse(callbackInput, callback, 'callback')
}
