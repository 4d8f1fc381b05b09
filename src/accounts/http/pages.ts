import { createHash } from 'node:crypto'
import { findTenancyError, isTenancyError } from '../../core/errors.js'
import type { Logger } from '../../core/logger.js'
import { escapeHtml } from '../escape-html.js'
import { logServerError, privateHeaders } from './answers.js'
import { parseFields, schemas } from './schemas.js'

const style =
  'body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:15vh auto;padding:0 1rem}' +
  'label,input,button{display:block;font:inherit}input{width:100%;box-sizing:border-box;margin:.25rem 0 1rem;padding:.5rem}' +
  'button{padding:.5rem 1rem}'

/**
 * Pages hold one form and nothing from elsewhere: no script, no image, no frame (CSP Level 3). The address of a page has
 * a token in it, so no page tells it to the next (Referrer Policy) and no cache keeps it.
 */
const pageHeaders = {
  ...privateHeaders,
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; ` +
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
} as const

/** Asks to confirm an address: programs that follow the links of mails change nothing by it. */
export function verificationPage(token: string): Response {
  return page(
    200,
    'Confirm your e-mail address',
    `<form method="post" action="verify-email">
<input type="hidden" name="token" value="${escapeHtml(token)}">
<button>Confirm the address</button>
</form>`,
  )
}

/** Asks for a new password, after `problem` if there was one. */
export function passwordPage(token: string, problem?: { readonly status: number; readonly text: string }): Response {
  return page(
    problem?.status ?? 200,
    'Set a new password',
    `${problem === undefined ? '' : paragraph(problem.text)}<form method="post" action="reset">
<input type="hidden" name="token" value="${escapeHtml(token)}">
<label for="password">New password</label>
<input type="password" id="password" name="password" autocomplete="new-password" minlength="8" maxlength="128" required>
<button>Set the password</button>
</form>`,
  )
}

/** Says one thing. */
export function messagePage(status: number, title: string, text: string): Response {
  return page(status, title, paragraph(text))
}

/** Says what went wrong, to somebody who sent a form. */
export function problemPage(error: unknown, logger: Logger): Response {
  const known = findTenancyError(error)
  const status = known?.statusCode ?? 500
  logServerError(error, status, logger)
  if (status >= 500) return messagePage(status, 'Something went wrong', 'Please try again in a moment.')
  return messagePage(status, known?.title ?? '', 'Please ask for a new mail and use the link in it.')
}

/** The page for the token in the address of a link. */
export function readLinkToken(request: Request, makePage: (token: string) => Response): Response {
  try {
    const token = new URL(request.url).searchParams.get('token') ?? undefined
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
