import type { User } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { userShape } from '../shapes.js'

interface Input {
  readonly email: string
  readonly name?: string
  readonly verified?: boolean
}

export const createUser = defineCommand<Input, { readonly user: User }>({
  name: 'create',
  summary: 'Create a user',
  description:
    'The user has no password: they set one by a reset (accounts), log in at an issuer of yours, or get a token by `user token`.',
  arguments: [{ name: 'email', description: 'e-mail address' }],
  options: [
    { flags: '--name TEXT', description: 'display name (default: none)' },
    { flags: '--verified', description: 'the address is verified; requests of others are refused' },
  ],
  examples: [{ command: 'user create dana@example.com --name Dana --verified', says: 'A user who may send requests' }],
  json: { user: userShape },
  exitCodes: [4],
  isWriting: true,
  async run(context, { email, name, verified }) {
    const { tenancy, actor } = await context.open()
    return { user: await tenancy.createUser({ email, name, emailVerified: verified, actor }) }
  },
  render({ user }, page) {
    page.line(`Created the user ${user.email} (${user.id})`)
  },
})
