import { defineCommand } from '../command.js'

interface Input {
  readonly withdraw?: boolean
}

interface Result {
  readonly keys: readonly { readonly kid: string; readonly algorithm: string }[]
  readonly withdrawn: boolean
}

export const rotateKeys = defineCommand<Input, Result>({
  name: 'rotate',
  summary: 'Make a new key that signs access tokens',
  description:
    'The new key is published before it signs, and the old one stays until its tokens have expired: nobody is logged out. With ' +
    '--withdraw the old keys end at once: use it when a key has leaked.',
  options: [{ flags: '--withdraw', description: 'end all tokens that were issued until now' }],
  examples: [
    { command: 'keys rotate', says: 'Nobody notices' },
    {
      command: 'keys rotate --withdraw',
      says: 'A key has leaked: everybody needs a new token. Asks you to type withdraw',
    },
  ],
  json: { keys: [{ kid: 'string', algorithm: 'string' }], withdrawn: 'boolean' },
  exitCodes: [4],
  isWriting: true,
  isDestructive: true,
  async run(context, { withdraw = false }) {
    const { tenancy, actor } = await context.open()
    if (withdraw) {
      await context.confirm({
        typed: 'withdraw',
        consequences: ['Every access token that was issued until now ends at once, in every tenant.'],
      })
    }
    await tenancy.rotateSigningKeys({ withdraw, actor })
    const { keys } = (await tenancy.jwks()) as { keys: readonly { kid?: string; alg?: string }[] }
    return { keys: keys.map(({ kid, alg }) => ({ kid: String(kid), algorithm: String(alg) })), withdrawn: withdraw }
  },
  render({ keys, withdrawn }, page) {
    page.line(withdrawn ? 'A new key signs; all earlier tokens have ended.' : 'A new key was made. Published now:')
    page.table(
      ['KEY', 'ALGORITHM'],
      keys.map(({ kid, algorithm }) => [kid, algorithm]),
    )
  },
})
