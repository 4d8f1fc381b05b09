import type { ArgumentDefinition } from '../command.js'
import type { Tenant } from '../../core/model.js'
import type { Tenancy } from '../../tenancy-interface.js'
import type { CommandContext } from '../context.js'
import { rememberTypedName } from '../opening/typed-names.js'
import { tenantArgument, type TenantInput } from '../tenant/tenant-argument.js'

/** The member that a command is about. */
export const memberArguments: readonly ArgumentDefinition[] = [
  tenantArgument,
  { name: 'user', description: 'e-mail address or id of the user' },
]

/** Input of commands about one member. */
export interface MemberInput extends TenantInput {
  readonly user: string
}

/** A result that people read with the names that they typed. */
export interface TypedMember {
  /** As `--json` leaves it out. */
  readonly typed?: MemberInput
}

/** The part of a result that names a member as it was typed. */
export function typedMember({ isJson }: Pick<CommandContext, 'isJson'>, typed: MemberInput): TypedMember {
  return isJson ? {} : { typed }
}

/** Finds the tenant that was named; messages name it so. @throws TENANCY_TENANT_NOT_FOUND */
export async function resolveTenant(tenancy: Pick<Tenancy, 'getTenant'>, named: string): Promise<Tenant> {
  const tenant = await tenancy.getTenant(named)
  rememberTypedName(tenant.id, named)
  return tenant
}
