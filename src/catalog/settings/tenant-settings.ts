import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import type {
  ShownTenantSettings,
  TenantSettings,
  TenantSettingsInput,
  TenantSettingsStore,
  TenantSettingsValues,
  UpdateTenantSettingsInput,
} from '../../core/tenants/tenant-settings.js'
import { isUuid } from '../../core/uuid.js'
import { commitChange } from '../access/lookup.js'
import { actor, parse, schemaOf, tenantRef } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder, inTransaction } from '../transaction.js'
import { isObject, isSame, type Json, type JsonObject, mergePatch, valueAt, withValueAt } from './json-object.js'
import { faultsOf, readChanges, requireFit } from './refuse-settings.js'
import type { SettingsSchema } from './settings-schema.js'
import type { SettingsSeal } from './settings-seal.js'

const readInput = schemaOf<TenantSettingsInput>()(z.strictObject({ tenant: tenantRef }))
const updateInput = schemaOf<UpdateTenantSettingsInput>()(
  z.strictObject({
    tenant: tenantRef,
    changes: z.record(z.string(), z.unknown()),
    expectedVersion: z.int().min(0).optional(),
    actor,
  }),
)

interface Row {
  readonly version: number
  readonly plain: JsonObject
  readonly sealed: Readonly<Record<string, string>>
  readonly updatedAt: Date
}

/** Options of {@link createTenantSettings}. */
export interface TenantSettingsOptions {
  readonly catalog: SqlPool
  /** Undefined: the application has none. */
  readonly schema: SettingsSchema | undefined
  readonly seal: SettingsSeal
  /** Remembers what was read, by the tenant's id. */
  readonly cache: {
    find(
      tenantId: string,
      read: () => Promise<{ readonly value: TenantSettings; readonly bytes: number }>,
    ): Promise<TenantSettings>
    invalidate(tenantId: string): void
  }
}

/** Creates the store of tenants' settings. */
export function createTenantSettings(options: TenantSettingsOptions): TenantSettingsStore {
  const { catalog, seal, cache } = options

  const requireSchema = (): SettingsSchema => {
    if (options.schema === undefined) throw new TenancyError('TENANCY_SETTINGS_UNDEFINED')
    return options.schema
  }
  /** What is stored, with secrets in their places. */
  const open = (row: Row | undefined, tenantId: string, { secrets }: SettingsSchema): JsonObject => {
    let stored = row?.plain ?? {}
    for (const path of secrets) {
      const sealed = row?.sealed[nameOf(path)]
      if (sealed !== undefined) stored = withValueAt(stored, path, seal.open(sealed, tenantId, nameOf(path)) as Json)
    }
    return stored
  }
  const readSettings = async (tenantId: string, schema: SettingsSchema) => {
    const row = await read(catalog, tenantId)
    // Settings of a tenant that is not there are not those of a new one.
    if (row === undefined) await findTenant(catalog, tenantId)
    const stored = open(row, tenantId, schema)
    return { value: settingsOf(row, stored, schema), bytes: 4 * JSON.stringify(stored).length }
  }
  const idOf = async (ref: string) => (isUuid(ref) ? ref.toLowerCase() : (await findTenant(catalog, ref)).id)

  return {
    async getTenantSettings(input) {
      const { tenant } = parse(readInput, input)
      const schema = requireSchema()
      const tenantId = await idOf(tenant)
      return cache.find(tenantId, () => readSettings(tenantId, schema))
    },

    async showTenantSettings(input) {
      const { tenant } = parse(readInput, input)
      const schema = requireSchema()
      const { value } = await readSettings(await idOf(tenant), schema)
      return { ...value, settings: hideSecrets(value.settings as JsonObject, schema) } satisfies ShownTenantSettings
    },

    async updateTenantSettings(input) {
      const { tenant: ref, changes: given, expectedVersion, actor: by } = parse(updateInput, input)
      const schema = requireSchema()
      const changes = readChanges(given)
      const faults = faultsOf(changes, schema)
      const { tenantId, row, stored } = await inTransaction(catalog, async (client) => {
        const tenant = await findTenant(client, ref, { lock: true })
        if (tenant.status === 'deleted') {
          throw new TenancyError(
            'TENANCY_TENANT_STATE_CONFLICT',
            `The tenant "${tenant.slug}" is deleted: undelete it first`,
          )
        }
        const before = await read(client, tenant.id)
        if (expectedVersion !== undefined && expectedVersion !== (before?.version ?? 0)) {
          throw new TenancyError('TENANCY_CHANGE_OUTDATED')
        }
        const earlier = open(before, tenant.id, schema)
        const later = mergePatch(earlier, changes) as JsonObject
        // Whether a secret is the one that is stored already is said nowhere: somebody could try one after the other.
        const written = schema.secrets.filter(
          (path) => valueAt(changes, path) !== undefined && valueAt(later, path) !== undefined,
        )
        if (faults.length === 0 && written.length === 0 && isSame(earlier, later)) {
          return { tenantId: tenant.id, row: before, stored: later }
        }
        requireFit(schema, later, changes, faults)
        let plain = later
        // Secrets of fields that this version does not know stay: another one may.
        const sealed = new Map(Object.entries(before?.sealed ?? {}))
        for (const path of schema.secrets) {
          const name = nameOf(path)
          const value = valueAt(later, path)
          plain = withValueAt(plain, path, undefined)
          if (value === undefined) sealed.delete(name)
          else if (!sealed.has(name) || written.includes(path)) {
            sealed.set(name, seal.seal(value, tenant.id, name))
          }
        }
        const [was, is] = differences(earlier, later, schema, written)
        const [{ rows }] = await inOrder([
          client.query<Row>(
            `insert into tenant_settings (tenant_id, plain, sealed) values ($1, $2, $3)
             on conflict (tenant_id) do update set version = tenant_settings.version + 1, plain = excluded.plain,
               sealed = excluded.sealed
             returning version, plain, sealed, updated_at as "updatedAt"`,
            [tenant.id, JSON.stringify(plain), JSON.stringify(Object.fromEntries(sealed))],
          ),
          commitChange(
            client,
            { actorId: by, tenantId: tenant.id },
            'tenant.settings',
            `tenant:${tenant.id}`,
            was ?? {},
            is ?? {},
          ),
        ])
        return { tenantId: tenant.id, row: rows[0], stored: later }
      })
      cache.invalidate(tenantId)
      return settingsOf(row, stored, schema)
    },
  }
}

const read = async (client: SqlClient, tenantId: string): Promise<Row | undefined> => {
  const { rows } = await client.query<Row>(
    'select version, plain, sealed, updated_at as "updatedAt" from tenant_settings where tenant_id = $1',
    [tenantId],
  )
  return rows[0]
}

const settingsOf = (row: Row | undefined, stored: JsonObject, schema: SettingsSchema): TenantSettings => {
  const { settings, invalid } = schema.parseWhatFits(stored)
  return {
    settings: settings as TenantSettingsValues,
    version: row?.version ?? 0,
    updatedAt: row?.updatedAt ?? null,
    invalid,
  }
}

const nameOf = (path: readonly string[]) => path.join('.')

/** Replaces each secret by `{ isSet: true }`, or null where none is set. */
function hideSecrets(settings: JsonObject, { secrets }: SettingsSchema): JsonObject {
  let shown = settings
  for (const path of secrets) {
    // An object that is not set has no fields to show.
    if (path.length > 1 && !isObject(valueAt(settings, path.slice(0, -1)))) continue
    const value = valueAt(settings, path)
    shown = withValueAt(shown, path, value === undefined || value === null ? null : { isSet: true })
  }
  return shown
}

/** What an audit entry has: fields of the top level that differ, before and after, without secrets. */
function differences(
  earlier: JsonObject,
  later: JsonObject,
  schema: SettingsSchema,
  written: readonly (readonly string[])[],
): readonly JsonObject[] {
  const differing = (key: string) =>
    written.some(([first]) => first === key) || !isSame(valueAt(earlier, [key]), valueAt(later, [key]))
  const shown = (of: JsonObject, other: JsonObject) => {
    let hidden = of
    for (const path of schema.secrets) {
      const value = valueAt(of, path)
      if (value === undefined) continue
      const isChanged = written.includes(path) || valueAt(other, path) === undefined
      hidden = withValueAt(hidden, path, isChanged ? { isSet: true, isChanged } : { isSet: true })
    }
    return Object.fromEntries(Object.entries(hidden).filter(([key]) => differing(key)))
  }
  return [shown(earlier, later), shown(later, earlier)]
}
