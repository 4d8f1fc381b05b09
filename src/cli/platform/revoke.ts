import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { userArgument, type UserInput } from '../user/user-argument.js'

export const revokePlatform = defineCommand<UserInput, { readonly revoked: { readonly userId: string } }>({
  name: 'revoke',
  summary: 'End the right of a user to administer the installation',
  arguments: [userArgument],
  examples: [{ command: 'platform revoke dana@example.com', says: 'The user and their memberships stay' }],
  json: { revoked: { userId: 'string' } },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { user }) {
    const { tenancy, actor } = await context.open()
    const userId = await resolveUser(tenancy, user)
    await tenancy.revokePlatformRole({ user: userId, actor })
    return { revoked: { userId } }
  },
  render({ revoked }, page) {
    page.line(`${revoked.userId} no longer administers the installation`)
  },
})
