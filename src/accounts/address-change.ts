import type { AccountProvider, AccountsHost, MailSender } from '../core/accounts/accounts.js'
import { TenancyError } from '../core/errors/errors.js'
import { normalizeEmail } from '../core/identity/email.js'
import type { User } from '../core/model.js'
import { catalogAnswer } from '../postgres/outages/catalog-outage.js'
import { createBackgroundWork } from './background-work.js'
import { createLinkToken, hashLinkToken, isLinkToken } from './better-auth/link-token.js'
import { linkTo } from './better-auth/links.js'
import type { MailKind } from './limits/attempt-limits.js'
import {
  addressChangedMail,
  addressInUseMail,
  confirmNewAddressMail,
  confirmOldAddressMail,
} from './mail/address-messages.js'

/** How long both mailboxes have to agree. */
const changeTtlSeconds = 86_400
const purpose = 'change-email'

/**
 * Changes of users' own addresses. A new address counts once the mailboxes of both have agreed. All throw
 * TENANCY_CATALOG_UNAVAILABLE.
 */
export interface AddressChanges {
  /**
   * Sends a link to either mailbox, in the place of an earlier request. If somebody else has the address, its owner is told by
   * mail and the change never completes; the answer is the same.
   * @throws TENANCY_ACCOUNTS_CREDENTIALS_INVALID, TENANCY_ACCOUNTS_EMAIL_INVALID (also one's own)
   */
  request(user: User, change: { readonly email: string; readonly password: string }): Promise<void>
  /**
   * Counts the consent of a mailbox, by the token of its link. With the second one, the address changes and every login ends.
   * @throws TENANCY_ACCOUNTS_LINK_INVALID
   */
  confirm(token: string): Promise<'waiting' | 'changed'>
  /** Stops a change, by the token of the link to the old address. @throws TENANCY_ACCOUNTS_LINK_INVALID */
  stop(token: string): Promise<void>
}

/** The parts that {@link createAddressChanges} needs. */
export interface AddressChangesParts {
  readonly host: Pick<AccountsHost, 'catalog' | 'config' | 'logger' | 'forgetUser' | 'onClose'>
  readonly provider: Pick<AccountProvider, 'checkPassword'>
  readonly mail: Pick<MailSender, 'send'>
  /** Counts a mail to an address. False: there were too many. */
  readonly mayMail: (kind: MailKind, address: string) => Promise<boolean>
}

/** Creates the changes of address. Who has an address is looked up after the answer, so that its time tells nothing. */
export function createAddressChanges({ host, provider, mail, mayMail }: AddressChangesParts): AddressChanges {
  const background = createBackgroundWork(host.logger, 'A mail of a change of address was not sent')
  host.onClose(() => background.settle())

  async function ask<Row extends object>(text: string, values: unknown[]): Promise<Row | undefined> {
    return (await catalogAnswer(host.catalog.query<Row>(text, values), 'accounts')).rows[0]
  }

  async function sendLinks(user: User, email: string, tokens: { readonly old: string; readonly new: string }) {
    // Without the link to one mailbox the one to the other is of no use.
    if (!(await mayMail('change', user.email)) || !(await mayMail('change', email))) return
    const taken = await ask<{ disabled: boolean }>(
      'select disabled_at is not null as disabled from users where lower(email) = lower($1)',
      [email],
    )
    if (taken === undefined) {
      await mail.send(confirmNewAddressMail({ to: email, link: linkTo(host.config, 'email/confirm', tokens.new) }))
    } else if (!taken.disabled) {
      await mail.send(addressInUseMail({ to: email, site: new URL(host.config.publicUrl).host }))
    }
    await mail.send(
      confirmOldAddressMail({
        ...{ to: user.email, name: user.name, address: email },
        link: linkTo(host.config, 'email/confirm', tokens.old),
        stopLink: linkTo(host.config, 'email/stop', tokens.old),
      }),
    )
  }

  return {
    async request(user, { email, password }) {
      const address = normalizeEmail(email)
      if (address === undefined || address === normalizeEmail(user.email)) {
        const problem = address === undefined ? 'is no e-mail address' : 'is the address that the account has'
        throw new TenancyError('TENANCY_ACCOUNTS_EMAIL_INVALID', `${JSON.stringify(email)} ${problem}`)
      }
      if ((await provider.checkPassword(user.email, password)) !== user.id) throw refused()
      const tokens = { new: createLinkToken(), old: createLinkToken() }
      const begun = await ask<{ begun: boolean }>(
        'select begin_address_change($1, $2, $3, $4, $5, make_interval(secs => $6)) as begun',
        [
          ...[user.id, user.email, address, hashLinkToken(purpose, tokens.new), hashLinkToken(purpose, tokens.old)],
          changeTtlSeconds,
        ],
      )
      if (begun?.begun !== true) throw refused()
      background.start(() => sendLinks(user, address, tokens), { mail: 'change' })
    },

    async confirm(token) {
      const done = isLinkToken(token)
        ? await ask<ConfirmRow>('select outcome, owner, old_address, new_address from confirm_address_change($1)', [
            hashLinkToken(purpose, token),
          ])
        : undefined
      if (done === undefined || done.outcome === 'invalid') throw invalidLink()
      if (done.outcome === 'waiting') return 'waiting'
      host.forgetUser(done.owner)
      const site = new URL(host.config.publicUrl).host
      const notice = addressChangedMail({ to: done.old_address, address: done.new_address, site })
      background.start(() => mail.send(notice), { mail: 'change' })
      return 'changed'
    },

    async stop(token) {
      const stopped = isLinkToken(token)
        ? await ask<{ owner: string | null }>('select stop_address_change($1) as owner', [
            hashLinkToken(purpose, token),
          ])
        : undefined
      if (typeof stopped?.owner !== 'string') throw invalidLink()
    },
  }
}

interface ConfirmRow {
  readonly outcome: 'waiting' | 'changed' | 'invalid'
  readonly owner: string
  readonly old_address: string
  readonly new_address: string
}

const refused = () => new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID')
const invalidLink = () => new TenancyError('TENANCY_ACCOUNTS_LINK_INVALID')
