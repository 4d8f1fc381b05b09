import { createHash } from 'node:crypto'
import { findTenancyError, isTenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import { escapeHtml } from '../escape-html.js'
import { logServerError, privateHeaders } from '../../http/messages/answers.js'
import { parseFields } from '../../http/messages/fields.js'
import { schemas } from './schemas.js'
import { parseForm } from '../../http/messages/strict-text.js'

const style =
  'body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:15vh auto;padding:0 1rem}' +
  'label,input,button{display:block;font:inherit}input{width:100%;box-sizing:border-box;margin:.25rem 0 1rem;padding:.5rem}' +
  'button{padding:.5rem 1rem}'

/**
 * Headers of pages. A page holds one form and loads nothing: no script, no image, no frame (CSP Level 3). Its address has a
 * token in it, so it is not sent as a referrer (Referrer Policy) and not cached.
 */
const pageHeaders = {
  ...privateHeaders,
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; ` +
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
} as const

/** The problem with a form that was sent. */
interface FormProblem {
  readonly status: number
  readonly text: string
}

/**
 * Shows the form that confirms an address and sets the password. Somebody else may have registered the address, and that
 * password must not become the account's. Mail scanners that open the link change nothing.
 */
export function confirmationPage(token: string, problem?: FormProblem): Response {
  return formPage({
    title: 'Confirm your e-mail address',
    intro: 'Set the password that you will log in with. If you did not register here, close this page.',
    action: 'verify-email',
    label: 'Password',
    button: 'Confirm the address and set the password',
    token,
    problem,
  })
}

/** Shows the form for a new password, with `problem` if there was one. */
export function passwordPage(token: string, problem?: FormProblem): Response {
  return formPage({
    title: 'Set a new password',
    action: 'reset',
    label: 'New password',
    button: 'Set the password',
    token,
    problem,
  })
}

interface FormFacts {
  readonly title: string
  readonly intro?: string
  readonly action: string
  readonly label: string
  readonly button: string
  readonly token: string
  readonly problem: FormProblem | undefined
}

function formPage({ title, intro, action, label, button, token, problem }: FormFacts): Response {
  const paragraphs = [intro, problem?.text].flatMap((text) => (text === undefined ? [] : paragraph(text)))
  return page(
    problem?.status ?? 200,
    title,
    `${paragraphs.join('')}<form method="post" action="${action}">
<input type="hidden" name="token" value="${escapeHtml(token)}">
<label for="password">${label}</label>
<input type="password" id="password" name="password" autocomplete="new-password" minlength="8" maxlength="128" required>
<button>${button}</button>
</form>`,
  )
}

/** Shows a button that does what a link is for: mail scanners that open the link do nothing. */
export function buttonPage({ title, intro, action, button, token }: ButtonFacts): Response {
  return page(
    200,
    title,
    `${paragraph(intro)}<form method="post" action="${action}">
<input type="hidden" name="token" value="${escapeHtml(token)}">
<button>${button}</button>
</form>`,
  )
}

interface ButtonFacts {
  readonly title: string
  readonly intro: string
  readonly action: string
  readonly button: string
  readonly token: string
}

/** Shows a message. */
export function messagePage(status: number, title: string, text: string): Response {
  return page(status, title, paragraph(text))
}

/** Shows a user who sent a form what went wrong. */
export function problemPage(error: unknown, logger: Logger): Response {
  const known = findTenancyError(error)
  const status = known?.statusCode ?? 500
  logServerError(error, status, logger)
  if (status >= 500) return messagePage(status, 'Something went wrong', 'Please try again in a moment.')
  return messagePage(status, known?.title ?? '', 'Please ask for a new mail and use the link in it.')
}

/** Makes the page for the token in a link's query. */
export function readLinkToken(query: string, makePage: (token: string) => Response): Response {
  try {
    const token = parseForm(query, () => ({ parameter: 'token' })).get('token')
    return makePage(parseFields(schemas.link, { token }).token)
  } catch (error) {
    if (!isTenancyError(error)) throw error
    return messagePage(400, 'This link is not complete', 'Please open it as it stands in the mail.')
  }
}

function paragraph(text: string): string {
  return `<p>${escapeHtml(text)}</p>\n`
}

function page(status: number, title: string, content: string): Response {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${content}
</body>
</html>
`
  return new Response(html, { status, headers: pageHeaders })
}
