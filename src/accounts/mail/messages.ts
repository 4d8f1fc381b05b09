import type { Mail } from '../../core/accounts/accounts.js'
import { TenancyError } from '../../core/errors/errors.js'
import { escapeHtml } from '../escape-html.js'
import { mailAddress } from './mail-address.js'

/** The recipient and the link of a mail. */
export interface MailFacts {
  /** One plain e-mail address. */
  readonly to: string
  /** An http(s) address. */
  readonly link: string
}

/** The facts of a mail to a user who has proven the address. */
export interface NamedMailFacts extends MailFacts {
  /** The user's own name. */
  readonly name: string
}

/**
 * Asks the owner of an address to confirm it. `link` leads to the page for that. Anybody can cause this mail to be sent to
 * anybody, so only the address in it comes from whoever registered.
 * @throws {@link TenancyError} TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_CONFIG_INVALID (the link)
 */
export function verificationMail(facts: MailFacts): Mail {
  return compose(
    { ...facts, name: '' },
    {
      subject: 'Confirm your e-mail address',
      before: (site) =>
        `Please confirm that this is your e-mail address and set the password that you will log in with at ${site}:`,
      action: 'Confirm the address',
      after:
        'If you did not register there, ignore this mail: without the confirmation nobody can use the address. If you get several of these mails, any of them will do.',
    },
  )
}

/**
 * Sends a link to set a new password. `link` leads to the page for that.
 * @throws {@link TenancyError} TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_CONFIG_INVALID (the link)
 */
export function passwordResetMail(facts: NamedMailFacts): Mail {
  return compose(facts, {
    subject: 'Set a new password',
    before: (site) => `Somebody, hopefully you, asked for a new password at ${site}. Set it here:`,
    action: 'Set a new password',
    after: 'If it was not you, ignore this mail: your password stays as it is.',
  })
}

/**
 * Tells the owner of an account that the address was used to register again. `link` leads to a page to set a new password or
 * log in.
 * @throws {@link TenancyError} TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_CONFIG_INVALID (the link)
 */
export function addressTakenMail(facts: NamedMailFacts): Mail {
  return compose(facts, {
    subject: 'You already have an account',
    before: (site) =>
      `Somebody, hopefully you, tried to register at ${site} with this e-mail address. It already has an account, which stays as it is. If you have forgotten its password, go on here:`,
    action: 'Go to your account',
    after: 'If it was not you, ignore this mail: nothing has changed.',
  })
}

interface Letter {
  readonly subject: string
  /** The text before the link, given the host that the link leads to. */
  readonly before: (site: string) => string
  /** The text of the link. */
  readonly action: string
  readonly after: string
  /** Another link, below. Default: none. */
  readonly second?: { readonly action: string; readonly link: string }
}

/** Composes a mail with a link. @throws {@link TenancyError} TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_CONFIG_INVALID (the link) */
export function compose({ to, name, link }: NamedMailFacts, letter: Letter): Mail {
  const site = hostOf(link)
  const greeting = greet(name)
  const before = letter.before(site)
  const { action, after, second } = letter
  if (second !== undefined) hostOf(second.link)
  return mailOf(to, letter.subject, [
    { text: greeting },
    { text: before },
    { text: action, link },
    { text: after },
    ...(second === undefined ? [] : [{ text: second.action, link: second.link }]),
  ])
}

/** Composes a mail without a link. @throws {@link TenancyError} TENANCY_ACCOUNTS_EMAIL_INVALID */
export function composeNotice(
  to: string,
  { subject, text }: { readonly subject: string; readonly text: string },
): Mail {
  return mailOf(to, subject, [{ text: greet('') }, { text }])
}

interface Paragraph {
  readonly text: string
  readonly link?: string
}

function mailOf(to: string, subject: string, paragraphs: readonly Paragraph[]): Mail {
  const plain = paragraphs.map(({ text, link }) => (link === undefined ? text : `${text}:\n${link}`))
  const html = paragraphs.map(({ text, link }) =>
    link === undefined
      ? escapeHtml(text)
      : `<a href="${escapeHtml(link)}">${escapeHtml(text)}</a><br>\n${escapeHtml(link)}`,
  )
  return {
    to: mailAddress(to),
    subject,
    text: `${plain.join('\n\n')}\n`,
    html: `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escapeHtml(subject)}</title></head>
<body>
${html.map((paragraph) => `<p>${paragraph}</p>`).join('\n')}
</body>
</html>
`,
  }
}

const longestName = 100
// A mail is sent in our name. A name that a mail program could turn into a link, or that looks like a sentence, is left out.
const linkLike = /\/\/|@|[\p{L}\p{N}-][.\u3002\uFF0E\uFF61]\p{L}{2}/u

function greet(name: string): string {
  const shown = name
    .replaceAll(/\p{Bidi_Control}/gu, '')
    .replaceAll(/[\s\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
  return shown === '' || shown.length > longestName || linkLike.test(shown) ? 'Hello,' : `Hello ${shown},`
}

function hostOf(link: string): string {
  const url = URL.canParse(link) ? new URL(link) : undefined
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:'
  // The link itself is a secret: it is not repeated.
  if (!url || !isWeb || /[\s\p{Cc}\p{Cs}]/u.test(link)) {
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      'A link in a mail must be an http(s) address: check TENANT_PUBLIC_URL',
    )
  }
  return url.host
}
