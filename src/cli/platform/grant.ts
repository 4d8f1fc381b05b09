import type { PlatformAdministrator } from '../../index.js'
import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { userArgument, type UserInput } from '../user/user-argument.js'
import { administratorShape } from './administrator-shape.js'

export const grantPlatform = defineCommand<UserInput, { readonly administrator: PlatformAdministrator }>({
  name: 'grant',
  summary: 'Let a user administer the installation',
  description: 'Tenants, users and the fleet; not the data of tenants that the user is no member of.',
  arguments: [userArgument],
  examples: [{ command: 'platform grant dana@example.com', says: 'Once more changes nothing' }],
  json: { administrator: administratorShape },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { user }) {
    const { tenancy, actor } = await context.open()
    return { administrator: await tenancy.grantPlatformRole({ user: await resolveUser(tenancy, user), actor }) }
  },
  render({ administrator }, page) {
    page.line(`${administrator.email} may administer the installation`)
  },
})
