import { Readable, Writable } from 'node:stream'
import { z } from 'zod'
import { slug, tenantName } from './catalog/tenants/tenant-input.js'
import { actor, parse, schemaOf, tenantRef, user, userRef } from './catalog/input.js'
import { tenantLabel } from './catalog/tenants/tenant-labels.js'
import type { ActivityOptions } from './composition/observing/activity.js'
import type { AdoptDatabaseInput } from './core/backup/adopt.js'
import type { BackupInput, RestoreInput, SwapBackInput } from './core/backup/backup.js'
import type { ExportsOptions, ExportStorage } from './core/backup/exports.js'
import type { FleetMigrateOptions, FleetResult, FleetStatusOptions } from './core/fleet/fleet.js'
import type { FleetRehearseOptions } from './core/fleet/rehearsal.js'
import type { FleetExecOptions, FleetExecResult } from './core/fleet/fleet-exec.js'
import type { FleetSeedOptions, FleetSeedResult, Seed } from './core/fleet/fleet-seed.js'
import { isPlainLine, isStorable } from './core/text.js'
import type { FleetRunOptions, FleetShare } from './core/fleet/run.js'
import type { FleetAcceptOptions, FleetAcceptResult } from './core/fleet/fleet-accept.js'
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
    beforeTenant: callbackOf<NonNullable<FleetMigrateOptions['beforeTenant']>>().optional(),
    estimate: z.strictObject({ tenants: z.int().min(0), ms: z.number().min(0) }).optional(),
    verify: z.boolean().optional(),
    lockTimeoutMs: z.int().min(1).max(600_000).optional(),
    statementTimeoutMs: z.int().min(1).max(86_400_000).optional(),
    actor,
  }),
)
export const fleetRehearseOptions = schemaOf<FleetRehearseOptions>()(
  z.strictObject({
    tenants: z.int().min(1).max(20).optional(),
    sampleAboveBytes: z.int().min(1_000_000).optional(),
    parallelism: z.int().min(1).max(64).optional(),
    signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal, 'must be an AbortSignal').optional(),
    onResult: callbackOf<NonNullable<FleetRehearseOptions['onResult']>>().optional(),
    onProgress: callbackOf<NonNullable<FleetRehearseOptions['onProgress']>>().optional(),
    actor,
  }),
)
const statementTimeoutMs = z.int().min(1).max(86_400_000).optional()
const seedProfile = z.enum(['dev', 'prod'])
export const fleetSeedOptions = schemaOf<FleetSeedOptions>()(
  z.strictObject({
    ...runOptions<FleetSeedResult>(),
    ...waveOptions,
    profile: seedProfile.optional(),
    statementTimeoutMs,
    actor,
  }),
)
export const fleetExecOptions = schemaOf<FleetExecOptions>()(
  z.strictObject({
    ...runOptions<FleetExecResult>(),
    ...waveOptions,
    sql: z
      .string()
      .min(1)
      .max(2 ** 20)
      .refine(isStorable, 'cannot be sent'),
    params: z.array(z.unknown()).max(65_535).readonly().optional(),
    write: z.boolean().optional(),
    statementTimeoutMs,
    maxRows: z.int().min(1).max(100_000).optional(),
    onRow: callbackOf<NonNullable<FleetExecOptions['onRow']>>().optional(),
    actor,
  }),
)
export const seedFunctions = schemaOf<readonly Seed[]>()(
  z
    .array(
      z.strictObject({
        name: z.string().min(1).max(100).refine(isPlainLine, 'must be one line'),
        profile: seedProfile.optional(),
        run: callbackOf<Seed['run']>(),
      }),
    )
    .readonly(),
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
export const fleetAcceptOptions = schemaOf<FleetAcceptOptions>()(
  z.strictObject({
    ...runOptions<FleetAcceptResult>(),
    stopAfter: share.optional(),
    migration: z.string().min(1).max(1000).refine(isPlainLine, 'must be one line'),
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

const signal = z.custom<AbortSignal>((value) => value instanceof AbortSignal, 'must be an AbortSignal')
const isPath = (value: unknown) =>
  typeof value === 'string' && value !== '' && value.length <= 4096 && !value.includes('\0')
const isKey = (value: unknown) => typeof value === 'string' && value !== '' && value.length <= 10_000
/** What a key is, the package decides that reads it. A message must not show one. */
const ageKeys = z.custom<string | readonly string[]>(
  (value) => isKey(value) || (Array.isArray(value) && value.length > 0 && value.length <= 100 && value.every(isKey)),
  'must be a key, or a list of 1 to 100 keys, as text',
)
const keepDays = z.int().min(0).max(3650).optional()
export const backupInput = schemaOf<BackupInput>()(
  z.strictObject({
    tenant: tenantRef,
    to: z.custom<string | Writable>(
      (value) => isPath(value) || value instanceof Writable,
      'must be a path or a Writable',
    ),
    encryptTo: ageKeys.optional(),
    allowDeleted: z.boolean().optional(),
    method: z.enum(['pg_dump', 'copy']).optional(),
    onProgress: callbackOf<NonNullable<BackupInput['onProgress']>>().optional(),
    signal: signal.optional(),
    actor,
  }),
)
export const restoreInput = schemaOf<RestoreInput>()(
  z
    .strictObject({
      from: z.custom<string | Readable>(
        (value) => isPath(value) || value instanceof Readable,
        'must be a path or a Readable',
      ),
      tenant: tenantRef.optional(),
      newTenant: z.strictObject({ slug, name: tenantName.optional(), owner: user }).optional(),
      identity: ageKeys.optional(),
      allowOtherTenant: z.boolean().optional(),
      allowUnsigned: z.boolean().optional(),
      leaveOutUnknown: z.boolean().optional(),
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
const storageFunctions = ['write', 'size', 'read', 'remove', 'list'] as const
export const exportsOptions = schemaOf<ExportsOptions>()(
  z
    .strictObject({
      folder: z.custom<string>(isPath, 'must be the path of a folder').optional(),
      storage: z
        .custom<ExportStorage>(
          (value) => storageFunctions.every((name) => typeof (value as ExportStorage | null)?.[name] === 'function'),
          `must have the functions ${storageFunctions.join(', ')}`,
        )
        .optional(),
      encryptTo: ageKeys.optional(),
      expiresInSeconds: z.int().min(60).max(2_592_000).optional(),
      maxRunning: z.int().min(1).max(64).optional(),
      maxBytes: z.int().min(1).optional(),
    })
    .refine((given) => (given.folder === undefined) !== (given.storage === undefined), 'give either folder or storage'),
)
export const swapBackInput = schemaOf<SwapBackInput>()(z.strictObject({ tenant: tenantRef, keepDays, actor }))

export const adoptDatabaseInput = schemaOf<AdoptDatabaseInput>()(
  z.strictObject({
    database: z
      .string()
      .min(1, 'must not be empty')
      .refine((value) => Buffer.byteLength(value) <= 63 && !value.includes('\0'), 'is not the name of a database'),
    slug,
    name: tenantName.optional(),
    owner: user,
    schema: z.string().max(1000).nullish(),
    installation: z.guid().optional(),
    actor,
  }),
)

const callbackInput = z.custom<() => unknown>((value) => typeof value === 'function', 'must be a function')

/** @throws {@link TenancyError} TENANCY_REQUEST_INVALID: no function */
export function requireCallback(callback: unknown): void {
  parse(callbackInput, callback, 'callback')
}
