import type { z } from 'zod'
import type { Register } from '../access/access.js'
import type { ActorOption } from '../audit-actor.js'

/** The settings of a tenant, as the {@link Register}ed schema (`tenantSettings`) gives them; any object without one. */
export type TenantSettingsValues = Register extends { readonly tenantSettings: infer Schema extends z.ZodObject }
  ? z.output<Schema>
  : Readonly<Record<string, unknown>>

/**
 * A merge patch (RFC 7396): what is left out stays, null removes, so that the default is valid again. Its fields are those that the
 * {@link Register}ed schema takes; any object without one.
 */
export type TenantSettingsChanges = Register extends { readonly tenantSettings: infer Schema extends z.ZodObject }
  ? Patch<z.input<Schema>>
  : Readonly<Record<string, unknown>>

/** Objects become patches of themselves; a list is replaced as a whole. */
type Patch<Value> = Value extends readonly unknown[]
  ? Value
  : Value extends object
    ? { readonly [Name in keyof Value]?: Patch<Value[Name]> | null | undefined }
    : Value

/** The settings of a tenant at one moment. */
export interface TenantSettings {
  /** What is set, over the defaults of the schema. Secrets are readable. Do not change it: later calls get the same object. */
  readonly settings: TenantSettingsValues
  /** 0: nothing was set yet. Rises with every change. */
  readonly version: number
  /** When it was changed last; null: never. */
  readonly updatedAt: Date | null
  /** Paths such as `mail.port` whose stored values the schema does not allow any more: the default is in their place. */
  readonly invalid: readonly string[]
}

/** The same for people: each secret is `{ isSet: true }` or null. */
export interface ShownTenantSettings extends Omit<TenantSettings, 'settings'> {
  readonly settings: { readonly [Name in keyof TenantSettingsValues]: unknown }
}

/** Whose settings to read. */
export interface TenantSettingsInput {
  /** Id or slug. An id that was read lately makes no query. */
  readonly tenant: string
}

/** A change of settings. */
export interface UpdateTenantSettingsInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  readonly changes: TenantSettingsChanges
  /** The version that was read: what somebody else changed since is not overwritten. Default: not compared. */
  readonly expectedVersion?: number | undefined
}

/** Settings of tenants. All throw TENANCY_SETTINGS_UNDEFINED without `createTenancy({ tenantSettings })`. */
export interface TenantSettingsStore {
  /**
   * Reads the settings of a tenant, in any status. A warm read by id makes no query; a change is seen in every process within
   * `TENANT_MAX_STALENESS_MS`. Stored values that do not fit the schema any more give the default, and are named in `invalid`.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_REQUEST_INVALID, TENANCY_CONFIG_SECRET_MISMATCH (a secret does not open)
   */
  getTenantSettings(input: TenantSettingsInput): Promise<TenantSettings>
  /** Reads the settings as people may see them, from the catalog: without the text of secrets. @throws as getTenantSettings */
  showTenantSettings(input: TenantSettingsInput): Promise<ShownTenantSettings>
  /**
   * Changes settings of a tenant that is not deleted. The whole must fit the schema, and has at most 64 KiB of JSON. The audit
   * entry has what was changed, without secrets. What is the same already is no change.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_REQUEST_INVALID (unknown fields, and values that the schema does not allow: all of
   *   them, in `details.errors`, whose pointers lead into `changes`), TENANCY_SETTINGS_OUTDATED (a stored value that is not changed here does not fit the schema), TENANCY_CHANGE_OUTDATED,
   *   TENANCY_TENANT_STATE_CONFLICT (deleted)
   * @example
   * await tenancy.updateTenantSettings({ tenant: 'acme', changes: { mail: { host: 'mail.acme.example', footer: null } } })
   */
  updateTenantSettings(input: UpdateTenantSettingsInput): Promise<TenantSettings>
}
