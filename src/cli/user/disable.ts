import type { User } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { userShape } from '../shapes.js'
import { userArgument, type UserInput } from './user-argument.js'

export const disableUser = defineCommand<UserInput, { readonly user: User }>({
  name: 'disable',
  summary: 'Refuse a user everywhere, and end all their tokens',
  description: 'Memberships and roles stay. `user enable` lets the user in again, with new tokens only.',
  arguments: [userArgument],
  examples: [{ command: 'user disable eve@example.com', says: 'Refused in every tenant' }],
  json: { user: userShape },
  exitCodes: [3],
  isWriting: true,
  async run(context, { user }) {
    const { tenancy, actor } = await context.open()
    return { user: await tenancy.disableUser({ user: await resolveUser(tenancy, user), actor }) }
  },
  render({ user }, page) {
    page.line(`Disabled ${user.email}; every token of theirs has ended`)
  },
})
