import type { User } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { userShape } from '../shapes.js'
import { wholeNumber } from '../values.js'

interface Input {
  readonly search?: string
  readonly disabled?: boolean
  readonly limit?: number
  readonly after?: string
}

interface Result {
  readonly users: readonly User[]
  readonly next: string | null
}

export const listUsers = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List users by e-mail address',
  options: [
    { flags: '--search TEXT', description: 'only those with this in their address or name' },
    { flags: '--disabled', description: 'only disabled ones' },
    { flags: '--limit N', description: 'how many, 1 to 1000 (default: 100)', parse: wholeNumber(1, 1000) },
    { flags: '--after EMAIL', description: 'the next page: `next` of the page before' },
  ],
  examples: [
    { command: 'user list', says: 'The first 100 users' },
    { command: 'user list --search @example.com --json', says: 'Those of a domain, for a program' },
  ],
  json: { users: [userShape], next: 'string | null' },
  async run(context, { search, disabled, limit = 100, after }) {
    const { tenancy } = await context.open()
    const users = await tenancy.listUsers({ search, disabled, limit, after })
    return { users, next: users.length === limit ? (users.at(-1)?.email ?? null) : null }
  },
  render({ users, next }, page) {
    page.table(
      ['EMAIL', 'NAME', 'VERIFIED', 'STATUS', 'ID'],
      users.map(({ email, name, emailVerified, disabledAt, id }) => [
        email,
        name,
        emailVerified ? 'yes' : 'no',
        disabledAt === null ? 'enabled' : { text: 'disabled', style: 'red' },
        id,
      ]),
    )
    if (next !== null) page.hint(`There may be more: --after ${next}`)
  },
})
