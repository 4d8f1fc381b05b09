import { z } from 'zod'
import { actor, parse, schemaOf, tenantRef, userRef } from './catalog/input.js'
import { tenantLabel } from './catalog/tenants/tenant-labels.js'
import type { ActivityOptions } from './composition/observing/activity.js'
import type { FleetMigrateOptions, FleetResult, FleetStatusOptions } from './core/fleet/fleet.js'
import type { FleetRunOptions, FleetShare } from './core/fleet/run.js'
import type { FleetRevertOptions, FleetRevertResult } from './core/fleet/fleet-revert.js'
import type { MigrationFunction, SchemaSource } from './core/tenants/migration.js'
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

const share = z.custom<FleetShare>((value) => {
  if (typeof value !== 'string') return Number.isSafeInteger(value) && (value as number) >= 1
  const digits = /^(\d+(?:\.\d+)?)%$/.exec(value)?.[1]
  return digits !== undefined && Number(digits) > 0 && Number(digits) <= 100
}, "must be a whole number from 1, or a share above 0 and up to 100 % such as '1%'")
const callbackOf = <Callback>() => z.custom<Callback>((value) => typeof value === 'function', 'must be a function')

/** What every function over tenants takes. */
const runOptions = <Result>() => ({
  tenants: z.array(tenantRef).min(1).max(10_000).readonly().optional(),
  label: tenantLabel.optional(),
  parallelism: z.int().min(1).max(64).optional(),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal, 'must be an AbortSignal').optional(),
  onResult: callbackOf<NonNullable<FleetRunOptions<Result>['onResult']>>().optional(),
  onProgress: callbackOf<NonNullable<FleetRunOptions<Result>['onProgress']>>().optional(),
})
const waveOptions = { canary: share.optional(), stopAfter: share.optional() }

export const fleetCheckOptions = schemaOf<FleetCheckOptions>()(
  z.strictObject({ ...runOptions<FleetCheckResult>(), anyVersion: z.boolean().optional() }),
)
export const fleetMigrateOptions = schemaOf<FleetMigrateOptions>()(
  z.strictObject({
    ...runOptions<FleetResult>(),
    ...waveOptions,
    dryRun: z.boolean().optional(),
    verify: z.boolean().optional(),
    lockTimeoutMs: z.int().min(1).max(600_000).optional(),
    statementTimeoutMs: z.int().min(1).max(86_400_000).optional(),
    actor,
  }),
)
export const fleetRevertOptions = schemaOf<FleetRevertOptions>()(
  z.strictObject({
    ...runOptions<FleetRevertResult>(),
    ...waveOptions,
    last: z.int().min(1).max(10_000),
    lockTimeoutMs: z.int().min(1).max(600_000).optional(),
    statementTimeoutMs: z.int().min(1).max(86_400_000).optional(),
    actor,
  }),
)
const migrationFunction = z.custom<MigrationFunction>((value) => typeof value === 'function', 'must be a function')
const identifier = z.string().min(1).max(63).optional()
const schemaFolder = z.strictObject({
  dir: z.string().min(1).max(4096),
  kind: z.enum(['sql', 'drizzle', 'prisma', 'kysely']).optional(),
  toolTable: z.strictObject({ schema: identifier, table: identifier }).optional(),
})
const schemaFunctions = z.strictObject({
  migrations: z
    .array(z.strictObject({ name: z.string(), up: migrationFunction, down: migrationFunction.optional() }))
    .max(100_000)
    .readonly(),
})
export const schemaSource = schemaOf<SchemaSource>()(z.union([schemaFolder, schemaFunctions]))
export const fleetStatusOptions = schemaOf<FleetStatusOptions>()(
  z.strictObject({ limit: z.int().min(0).max(1000).optional() }),
)

const callbackInput = z.custom<() => unknown>((value) => typeof value === 'function', 'must be a function')

/** @throws {@link TenancyError} TENANCY_REQUEST_INVALID: no function */
export function requireCallback(callback: unknown): void {
  parse(callbackInput, callback, 'callback')
}
