import { connect as connectPlain } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Config } from '../../../../core/config/config.js'
import { type Check, combine, type Finding, problem, skipped, warning } from '../../check.js'
import { messageOf } from '../../run-checks.js'

/** The mail settings fit together, and the mail server greets. No mail is sent. */
export const mail: Check = {
  name: 'mail',
  async run(context) {
    const { mail: configured, isProduction } = context.config()
    if (configured === undefined) {
      return skipped(
        isProduction
          ? 'TENANT_MAIL__HOST is not set: accounts would not start in production'
          : 'TENANT_MAIL__HOST is not set: links of mails go to the log',
      )
    }
    const findings = judgeMail(configured)
    const { host, port } = configured
    const greeting = await greetingOf(configured).catch((error: unknown) => error)
    if (typeof greeting !== 'string') {
      findings.push(
        problem(
          `The mail server ${host}:${port} does not answer: ${messageOf(greeting)}`,
          'Check TENANT_MAIL__HOST, _PORT and _SECURE',
        ),
      )
    } else if (!greeting.startsWith('220')) {
      findings.push(
        problem(`What answers on ${host}:${port} is no mail server`, 'Check TENANT_MAIL__HOST and TENANT_MAIL__PORT'),
      )
    }
    return combine(findings, `The mail server ${host}:${port} greets`)
  },
}

/** Judges the settings alone. */
export function judgeMail({ port, secure, requireTls, username, host }: NonNullable<Config['mail']>): Finding[] {
  const findings: Finding[] = []
  if (port === 465 && !secure) {
    findings.push(
      problem(
        'Port 465 expects TLS from the first byte, and TENANT_MAIL__SECURE is false',
        'Set TENANT_MAIL__SECURE=true',
      ),
    )
  }
  if ((port === 587 || port === 25) && secure) {
    findings.push(
      problem(
        `Port ${port} begins without TLS, and TENANT_MAIL__SECURE is true`,
        'Set TENANT_MAIL__SECURE=false: STARTTLS',
      ),
    )
  }
  if (!secure && !requireTls && !['localhost', '127.0.0.1', '::1'].includes(host)) {
    findings.push(
      warning(
        `Mails${username === undefined ? '' : ' and the password'} may go out unencrypted`,
        'Set TENANT_MAIL__REQUIRE_TLS=true: the mails hold links that open accounts',
      ),
    )
  }
  return findings
}

const greetingTimeoutMs = 5000
const maxGreetingBytes = 2000

function greetingOf({ host, port, secure }: NonNullable<Config['mail']>): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = secure ? connectTls({ host, port, servername: host }) : connectPlain({ host, port })
    let text = ''
    const finish = (error?: Error) => {
      socket.destroy()
      if (error === undefined) resolve(text)
      else reject(error)
    }
    socket.setTimeout(greetingTimeoutMs, () => finish(new Error(`no greeting within ${greetingTimeoutMs / 1000} s`)))
    socket.on('error', finish)
    socket.on('end', () => finish(new Error('it hung up')))
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (text.includes('\n') || text.length > maxGreetingBytes) finish()
    })
  })
}
