import type { ArgumentDefinition } from '../command.js'
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
