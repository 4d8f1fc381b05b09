import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { userArgument, type UserInput } from './user-argument.js'

interface Input extends UserInput {
  readonly tenant?: string
}

interface Result {
  readonly token: string
  readonly expiresIn: number
  readonly tokenId: string
}

export const issueToken = defineCommand<Input, Result>({
  name: 'token',
  summary: 'Issue an access token for a user; it is all that is written',
  description:
    'Valid for TENANT_TOKEN_TTL seconds. Whoever has it is the user: keep it out of logs. The audit log has its id, not the token.',
  arguments: [userArgument],
  options: [{ flags: '--tenant TENANT', description: 'slug or id of a tenant that it is bound to (default: none)' }],
  examples: [
    {
      command: 'user token dana@example.com',
      says: 'For a shell: curl -H "Authorization: Bearer $(tenants2fast user token dana@example.com)" …',
    },
  ],
  json: { token: 'string', expiresIn: 'number', tokenId: 'string' },
  exitCodes: [3],
  isWriting: true,
  async run(context, { user, tenant }) {
    const { tenancy, actor } = await context.open()
    if (tenant !== undefined) await tenancy.getTenant(tenant)
    return tenancy.issueAccessToken({ user: await resolveUser(tenancy, user), tenant, actor })
  },
  render({ token }, page) {
    page.line(token)
  },
})
