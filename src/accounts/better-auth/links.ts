import { randomBytes } from 'node:crypto'
import type { Config } from '../../core/config.js'
import type { User } from '../../core/model.js'
import { answered } from './catalog-answer.js'
import type { Engine } from './engine.js'

/** What a link in a mail is for. */
export interface LinkKind {
  /** Start of what the library files the link under. 'reset-password' is where its own reset looks for it. */
  readonly purpose: 'verify-email' | 'reset-password'
  /** Where the link leads, below the prefix of accounts. */
  readonly path: string
  readonly ttlSeconds: number
}

/** Confirms an address. Good for a day: a mailbox may not be looked at for a while. */
export const verificationLink: LinkKind = { purpose: 'verify-email', path: '/verify-email', ttlSeconds: 86_400 }

/** Sets a new password. Good for an hour. */
export const resetLink: LinkKind = { purpose: 'reset-password', path: '/password/reset', ttlSeconds: 3600 }

/** Links that were sent by mail. Their tokens are kept as hashes; each is good for one use. */
export interface Links {
  /** A fresh link for a user, as it is sent. */
  create(kind: LinkKind, user: Pick<User, 'id'>): Promise<string>
  /** The id of the user whom a link was sent to; undefined when it is not, or no longer, good. */
  find(kind: LinkKind, token: string): Promise<string | undefined>
  /** The same, and the link is good no more. Of several at once, one gets the id. */
  use(kind: LinkKind, token: string): Promise<string | undefined>
}

/** Links of an installation, in the library's verification values. */
export function createLinks(
  { internalAdapter }: Pick<Engine, 'internalAdapter'>,
  { publicUrl, authPrefix }: Pick<Config, 'publicUrl' | 'authPrefix'>,
): Links {
  return {
    async create({ purpose, path, ttlSeconds }, user) {
      const token = createLinkToken()
      // Not a column that the library knows by itself: through it a link goes when its user goes.
      const owner = { userId: user.id }
      await answered(
        internalAdapter.createVerificationValue({
          ...owner,
          identifier: `${purpose}:${token}`,
          value: user.id,
          expiresAt: new Date(Date.now() + ttlSeconds * 1000),
        }),
      )
      return `${publicUrl}${authPrefix}${path}?token=${token}`
    },

    async find({ purpose }, token) {
      if (!isLinkToken(token)) return undefined
      const link = await answered(internalAdapter.findVerificationValue(`${purpose}:${token}`))
      return link && link.expiresAt > new Date() ? link.value : undefined
    },

    async use({ purpose }, token) {
      if (!isLinkToken(token)) return undefined
      return (await answered(internalAdapter.consumeVerificationValue(`${purpose}:${token}`)))?.value
    },
  }
}

/** 256 random bits as base64url. */
export function createLinkToken(): string {
  return randomBytes(32).toString('base64url')
}

/** For any other text the catalog is not even asked. */
function isLinkToken(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}
