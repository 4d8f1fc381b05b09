import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { passwordResetMail, verificationMail } from '../../../src/accounts/mail/messages.js'
import { createSmtpSender } from '../../../src/accounts/mail/smtp-sender.js'
import type { MailSender } from '../../../src/core/accounts/accounts.js'
import type { Config } from '../../../src/core/config/config.js'
import { findTenancyError, isTenancyError, type TenancyError } from '../../../src/core/errors/errors.js'
import { recordingLogger } from '../recording-logger.js'

const mail = verificationMail({ to: 'ada@example.com', link: 'https://app.example.com/v?token=t0k3n' })
const password = 'hunter2-p4ssw0rd'

interface Received {
  readonly from: string
  readonly to: readonly string[]
  readonly secure: boolean
  readonly user: string | undefined
  readonly source: string
}

interface MailServer {
  readonly port: number
  readonly received: Received[]
  readonly commands: string[]
  close(): Promise<void>
}

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

/** A real SMTP server on a loopback port. Its certificate is a self-signed one. */
async function startServer(options: SMTPServerOptions = {}): Promise<MailServer> {
  const received: Received[] = []
  const commands: string[] = []
  const server = new SMTPServer({
    logger: false,
    authOptional: true,
    disableReverseLookup: true,
    onAuth(auth, _session, callback) {
      commands.push('AUTH')
      if (auth.username === 'mailer' && auth.password === password) callback(null, { user: auth.username })
      else callback(new Error('Authentication failed'))
    },
    onMailFrom(_address, _session, callback) {
      commands.push('MAIL')
      callback()
    },
    onData(stream, session, callback) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        received.push({
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map((recipient) => recipient.address),
          secure: session.secure,
          user: session.user === undefined ? undefined : String(session.user),
          source: Buffer.concat(chunks).toString('utf8'),
        })
        callback()
      })
    },
    ...options,
  })
  server.on('error', () => {})
  const listener = server.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const close = () => new Promise<void>((resolve) => server.close(resolve))
  cleanups.push(close)
  return { port: (listener.address() as AddressInfo).port, received, commands, close }
}

async function openSender(port: number, settings: Partial<NonNullable<Config['mail']>> = {}): Promise<MailSender> {
  const sender = await createSmtpSender(
    {
      host: '127.0.0.1',
      port,
      secure: false,
      requireTls: false,
      username: undefined,
      password: undefined,
      from: 'Acme <no-reply@acme.example>',
      ...settings,
    },
    recordingLogger().logger,
  )
  cleanups.push(() => sender.close())
  return sender
}

async function failureOf(sending: Promise<unknown>): Promise<TenancyError> {
  const error = await sending.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  const failure = findTenancyError(error, 'TENANCY_ACCOUNTS_MAIL_FAILED')
  if (failure === undefined) throw new Error('no mail failure', { cause: error })
  return failure
}

const plain: SMTPServerOptions = { disabledCommands: ['STARTTLS', 'AUTH'] }

// The server's certificate is self-signed; these tests are about what happens once it is accepted.
function acceptAnyCertificate(): void {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
}

describe('delivery', () => {
  test('A mail arrives with sender, recipient, subject, text and HTML', async () => {
    const server = await startServer(plain)
    const sender = await openSender(server.port)
    await sender.send(mail)
    const [message] = server.received
    expect(message).toMatchObject({ from: 'no-reply@acme.example', to: ['ada@example.com'], secure: false })
    const parsed = readMessage(message?.source ?? '')
    expect(parsed.headers).toMatchObject({
      from: 'Acme <no-reply@acme.example>',
      to: 'ada@example.com',
      subject: mail.subject,
    })
    expect(parsed.text).toBe(mail.text)
    expect(parsed.html).toBe(mail.html)
  })

  test('Letters beyond ASCII in subject, body and name arrive intact', async () => {
    const server = await startServer(plain)
    const sender = await openSender(server.port, { from: 'Überall 会社 <no-reply@acme.example>' })
    const link = `https://app.example.com/v?token=${'x'.repeat(200)}`
    const greeting = passwordResetMail({ to: 'ada@example.com', name: 'Зоя 王芳 🦊', link })
    await sender.send({ ...greeting, subject: 'Bestätigen Sie Ihre Adresse: 確認 🦊' })
    const parsed = readMessage(server.received[0]?.source ?? '')
    expect(parsed.text).toBe(greeting.text)
    expect(parsed.html).toBe(greeting.html)
    expect(parsed.headers['subject']).toBe('Bestätigen Sie Ihre Adresse: 確認 🦊')
    expect(parsed.headers['from']).toBe('Überall 会社 <no-reply@acme.example>')
  })

  test('Many simultaneous mails all arrive, each at its own recipient', async () => {
    const server = await startServer(plain)
    const sender = await openSender(server.port)
    const recipients = Array.from({ length: 40 }, (_, index) => `user${index}@example.com`)
    await Promise.all(recipients.map((to) => sender.send({ ...mail, to })))
    expect(server.received.map((message) => message.to.join()).toSorted()).toEqual(recipients.toSorted())
  })

  test('A line break in the subject adds no header', async () => {
    const server = await startServer(plain)
    const sender = await openSender(server.port)
    await sender.send({ ...mail, subject: 'Hello\r\nBcc: eve@example.com' })
    const [message] = server.received
    expect(message?.to).toEqual(['ada@example.com'])
    expect(readMessage(message?.source ?? '').headers['bcc']).toBeUndefined()
  })

  test.each([
    'ada@example.com, eve@example.com',
    'ada@example.com\r\nRCPT TO:<eve@example.com>',
    'Ada <eve@example.com>',
  ])('No mail is sent to %j', async (to) => {
    const server = await startServer(plain)
    const sender = await openSender(server.port)
    const error = await sender.send({ ...mail, to }).catch((reason: unknown) => reason)
    expect(isTenancyError(error, 'TENANCY_ACCOUNTS_EMAIL_INVALID')).toBe(true)
    expect(server.commands).toEqual([])
  })
})

describe('encryption', () => {
  test('With STARTTLS offered and required, the mail and the password go over TLS', async () => {
    acceptAnyCertificate()
    const server = await startServer()
    const sender = await openSender(server.port, { requireTls: true, username: 'mailer', password })
    await sender.send(mail)
    expect(server.received).toMatchObject([{ secure: true, user: 'mailer' }])
  })

  test('With TLS from the first byte, the mail and the password go over TLS', async () => {
    acceptAnyCertificate()
    const server = await startServer({ secure: true })
    const sender = await openSender(server.port, { secure: true, username: 'mailer', password })
    await sender.send(mail)
    expect(server.received).toMatchObject([{ secure: true, user: 'mailer' }])
  })

  test('If STARTTLS is required and missing, neither password nor mail is sent', async () => {
    const server = await startServer({ disabledCommands: ['STARTTLS'], allowInsecureAuth: true })
    const sender = await openSender(server.port, { requireTls: true, username: 'mailer', password })
    await failureOf(sender.send(mail))
    expect(server.commands).toEqual([])
    expect(server.received).toEqual([])
  })

  test.each([
    ['STARTTLS', { requireTls: true }, {}],
    ['STARTTLS that is not required', { requireTls: false }, {}],
    ['TLS from the first byte', { secure: true }, { secure: true }],
  ])('A self-signed certificate is refused: %s', async (_how, settings, options) => {
    const server = await startServer(options)
    const sender = await openSender(server.port, { ...settings, username: 'mailer', password })
    const error = await failureOf(sender.send(mail))
    expect(String(error.cause)).toMatch(/self.signed|certificate/i)
    expect(server.commands).toEqual([])
    expect(server.received).toEqual([])
  })
})

describe('failures', () => {
  test('A wrong password is an error without credentials in it', async () => {
    acceptAnyCertificate()
    const server = await startServer()
    const sender = await openSender(server.port, {
      requireTls: true,
      username: 'mailer',
      password: `${password}-wrong`,
    })
    const error = await failureOf(sender.send(mail))
    const shown = [inspect(error, { depth: 10, showHidden: true }), JSON.stringify(error), error.stack].join()
    expect(shown).not.toContain(password)
    expect(shown).not.toContain(Buffer.from(`\0mailer\0${password}-wrong`).toString('base64'))
    expect(shown).not.toContain('t0k3n')
    expect(server.received).toEqual([])
  })

  test('A server that is down is an error with its cause, and mails go out once it is up', async () => {
    const first = await startServer(plain)
    const { port } = first
    await first.close()
    const sender = await openSender(port)
    const error = await failureOf(sender.send(mail))
    expect(error).toMatchObject({ statusCode: 503, cause: { code: 'ESOCKET' } })
    expect(error.message).toContain(`127.0.0.1:${port}`)

    const second = new SMTPServer({ ...plain, logger: false, authOptional: true })
    const listener = second.listen(port, '127.0.0.1')
    await once(listener, 'listening')
    cleanups.unshift(() => new Promise((resolve) => second.close(resolve)))
    await sender.send(mail)
  })

  test('A recipient that the server does not accept is an error', async () => {
    const server = await startServer({
      ...plain,
      onRcptTo: (_address, _session, callback) => callback(new Error('No such mailbox')),
    })
    const sender = await openSender(server.port)
    await failureOf(sender.send(mail))
    expect(server.received).toEqual([])
  })

  test('A server that hangs up at once is not retried forever', async () => {
    const sockets: Socket[] = []
    const server = await listen((socket) => {
      sockets.push(socket)
      socket.destroy()
    })
    const sender = await openSender((server.address() as AddressInfo).port)
    await failureOf(sender.send(mail))
    expect(sockets.length).toBeLessThanOrEqual(3)
  })

  test('close() waits for mails being sent and makes later ones fail', async () => {
    const server = await startServer(plain)
    const sender = await openSender(server.port)
    const delivery = sender.send(mail)
    await vi.waitFor(() => expect(server.commands).toEqual(['MAIL']), { timeout: 10_000 })
    await sender.close()
    expect(server.received).toHaveLength(1)
    await delivery
    await failureOf(sender.send(mail))
  })
})

test('Without the package nodemailer, the error says what to install', async () => {
  vi.doMock('nodemailer', () => {
    throw new Error("Cannot find package 'nodemailer'")
  })
  try {
    await expect(openSender(25)).rejects.toMatchObject({
      code: 'TENANCY_CONFIG_PEER_MISSING',
      message: expect.stringContaining('npm install nodemailer') as unknown,
    })
  } finally {
    vi.doUnmock('nodemailer')
  }
})

async function listen(onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onConnection)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => new Promise((resolve) => server.close(() => resolve())))
  return server
}

/** Parses a multipart message (RFC 2045 to 2047) as a mail program would. */
function readMessage(source: string): { headers: Record<string, string>; text: string; html: string } {
  const { headers, body } = readPart(source)
  const boundary = /boundary="([^"]+)"/.exec(headers['content-type'] ?? '')?.[1] ?? ''
  const parts = body
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part) => readPart(part.replace(/^\r\n/, '').replace(/\r\n$/, '')))
  const bodyOf = (type: string) =>
    parts.find((part) => part.headers['content-type']?.startsWith(type))?.body.replaceAll('\r\n', '\n') ?? ''
  return { headers, text: bodyOf('text/plain'), html: bodyOf('text/html') }
}

function readPart(source: string): { headers: Record<string, string>; body: string } {
  const end = source.indexOf('\r\n\r\n')
  const headers: Record<string, string> = {}
  for (const line of source
    .slice(0, end)
    .replaceAll(/\r\n[ \t]+/g, ' ')
    .split('\r\n')) {
    const [name = '', ...value] = line.split(':')
    headers[name.toLowerCase()] = decodeWords(value.join(':').trim())
  }
  return { headers, body: decodeBody(source.slice(end + 4), headers['content-transfer-encoding'] ?? '7bit') }
}

function decodeBody(body: string, encoding: string): string {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8')
  return encoding === 'quoted-printable' ? decodeQuoted(body.replaceAll(/=\r\n/g, '')) : body
}

function decodeWords(text: string): string {
  return text
    .replaceAll(/\?=\s+=\?/g, '?==?')
    .replaceAll(/=\?utf-8\?([BQ])\?([^?]*)\?=/gi, (_all, kind: string, word: string) =>
      kind.toUpperCase() === 'B'
        ? Buffer.from(word, 'base64').toString('utf8')
        : decodeQuoted(word.replaceAll('_', ' ')),
    )
}

function decodeQuoted(text: string): string {
  const bytes = text.replaceAll(/=([0-9A-F]{2})/g, (_all, hex: string) =>
    String.fromCodePoint(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
