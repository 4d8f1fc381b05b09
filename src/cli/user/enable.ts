import type { User } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { userShape } from '../shapes.js'
import { userArgument, type UserInput } from './user-argument.js'

export const enableUser = defineCommand<UserInput, { readonly user: User }>({
  name: 'enable',
  summary: 'Let a disabled user in again',
  description: 'Tokens from before stay ended: the user needs a new one.',
  arguments: [userArgument],
  examples: [{ command: 'user enable eve@example.com', says: 'With memberships and roles as they were' }],
  json: { user: userShape },
  exitCodes: [3],
  isWriting: true,
  async run(context, { user }) {
    const { tenancy, actor } = await context.open()
    return { user: await tenancy.enableUser({ user: await resolveUser(tenancy, user), actor }) }
  },
  render({ user }, page) {
    page.line(`Enabled ${user.email}`)
  },
})
