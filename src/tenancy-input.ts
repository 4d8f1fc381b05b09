import { Readable, Writable } from 'node:stream'
import { z } from 'zod'
import { slug, tenantName } from './catalog/tenants/tenant-input.js'
import { actor, parse, schemaOf, tenantRef, user, userRef } from './catalog/input.js'
import { tenantLabel } from './catalog/tenants/tenant-labels.js'
import type { ActivityOptions } from './composition/observing/activity.js'
import type { BackupInput, RestoreInput, SwapBackInput } from './core/backup/backup.js'
import type { FleetMigrateOptions, FleetResult, FleetStatusOptions } from './core/fleet/fleet.js'
import type { FleetRunOptions, FleetShare } from './core/fleet/run.js'
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
export const fleetStatusOptions = schemaOf<FleetStatusOptions>()(
  z.strictObject({ limit: z.int().min(0).max(1000).optional() }),
)

const signal = z.custom<AbortSignal>((value) => value instanceof AbortSignal, 'must be an AbortSignal')
const path = z
  .string()
  .min(1, 'must not be empty')
  .max(4096)
  .refine((value) => !value.includes('\0'), 'holds a NUL')
/** Checked by the package that reads it; a message must not show it. */
const ageKeys = z.union([z.string().max(10_000), z.array(z.string().max(10_000)).min(1).max(100).readonly()])
const keepDays = z.int().min(0).max(3650).optional()
export const backupInput = schemaOf<BackupInput>()(
  z.strictObject({
    tenant: tenantRef,
    to: z.union([path, z.custom<Writable>((value) => value instanceof Writable, 'must be a path or a Writable')]),
    encryptTo: ageKeys.optional(),
    method: z.enum(['pg_dump', 'copy']).optional(),
    onProgress: callbackOf<NonNullable<BackupInput['onProgress']>>().optional(),
    signal: signal.optional(),
    actor,
  }),
)
export const restoreInput = schemaOf<RestoreInput>()(
  z
    .strictObject({
      from: z.union([path, z.custom<Readable>((value) => value instanceof Readable, 'must be a path or a Readable')]),
      tenant: tenantRef.optional(),
      newTenant: z.strictObject({ slug, name: tenantName.optional(), owner: user }).optional(),
      identity: ageKeys.optional(),
      allowOtherTenant: z.boolean().optional(),
      allowUnsigned: z.boolean().optional(),
      keepDays,
      onProgress: callbackOf<NonNullable<RestoreInput['onProgress']>>().optional(),
      signal: signal.optional(),
      actor,
    })
    .refine(
      (input) => (input.tenant === undefined) !== (input.newTenant === undefined),
      'give either tenant or newTenant',
    ),
)
export const swapBackInput = schemaOf<SwapBackInput>()(z.strictObject({ tenant: tenantRef, keepDays, actor }))

const callbackInput = z.custom<() => unknown>((value) => typeof value === 'function', 'must be a function')

/** @throws {@link TenancyError} TENANCY_REQUEST_INVALID: no function */
export function requireCallback(callback: unknown): void {
  parse(callbackInput, callback, 'callback')
}
