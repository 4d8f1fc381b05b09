import type { PlatformAdministrator } from '../../index.js'
import { defineCommand } from '../command.js'
import { wholeNumber } from '../values.js'
import { administratorShape } from './administrator-shape.js'

interface Input {
  readonly limit?: number
  readonly after?: string
}

interface Result {
  readonly administrators: readonly PlatformAdministrator[]
  readonly next: string | null
}

export const listPlatform = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List who may administer the installation',
  options: [
    { flags: '--limit N', description: 'how many, 1 to 1000 (default: 100)', parse: wholeNumber(1, 1000) },
    { flags: '--after ID', description: 'the next page: `next` of the page before' },
  ],
  examples: [{ command: 'platform list', says: 'By user id' }],
  json: { administrators: [administratorShape], next: 'string | null' },
  async run(context, { limit = 100, after }) {
    const { tenancy } = await context.open()
    const administrators = await tenancy.listPlatformAdministrators({ limit, after })
    return { administrators, next: administrators.length === limit ? (administrators.at(-1)?.userId ?? null) : null }
  },
  render({ administrators, next }, page) {
    page.table(
      ['EMAIL', 'NAME', 'SINCE', 'GRANTED BY', 'USER'],
      administrators.map(({ email, name, disabledAt, grantedAt, grantedBy, userId }) => [
        disabledAt === null ? email : { text: `${email} (disabled)`, style: 'red' },
        name,
        grantedAt,
        grantedBy ?? 'an operator',
        userId,
      ]),
    )
    if (administrators.length === 0) page.hint('Nobody. Let somebody: tenants2fast platform grant EMAIL')
    if (next !== null) page.hint(`There may be more: --after ${next}`)
  },
})
