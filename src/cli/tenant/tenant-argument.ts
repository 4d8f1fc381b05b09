import type { ArgumentDefinition } from '../command.js'

/** The tenant that a command is about. */
export const tenantArgument: ArgumentDefinition = { name: 'tenant', description: 'slug or id of the tenant' }

/** Input of commands about one tenant. */
export interface TenantInput {
  readonly tenant: string
}
