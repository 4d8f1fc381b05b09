import { expect, test } from 'vitest'
import { passwordResetMail } from '../../../src/accounts/mail/messages.js'
import { openMailSender } from '../../../src/accounts/mail/open-mail-sender.js'
import { loadConfig } from '../../../src/core/config/load-config.js'
import { stderrLogger } from '../../../src/core/logger.js'
import { recordingLogger } from '../recording-logger.js'

const link = 'https://app.example.com/auth/password/reset?token=a1b2c3'
const mail = passwordResetMail({ to: 'ada@example.com', name: 'Ada', link })

test('Development without a mail server logs the link at a level that the default logger shows', async () => {
  const { logger, entries } = recordingLogger()
  const sender = await openMailSender(loadConfig({}), logger)
  await sender.send(mail)
  await sender.close()
  expect(entries).toHaveLength(1)
  const [entry] = entries
  expect(entry).toMatchObject({ fields: { to: 'ada@example.com', subject: mail.subject, links: [link] } })
  expect(entry?.message).toMatch(/^Development: /)

  const written: string[] = []
  const write = process.stderr.write.bind(process.stderr)
  process.stderr.write = (text: string | Uint8Array) => written.push(String(text)) > 0
  try {
    stderrLogger[entry?.level ?? 'debug'](entry?.fields ?? {}, entry?.message ?? '')
  } finally {
    process.stderr.write = write
  }
  expect(written.join('')).toContain(link)
})

test('Production without a mail server is refused, with the settings that are missing', async () => {
  const { logger, entries } = recordingLogger()
  const config = loadConfig({ NODE_ENV: 'production', TENANT_SECRET: 'ab'.repeat(32) })
  await expect(openMailSender(config, logger)).rejects.toMatchObject({
    code: 'TENANCY_ACCOUNTS_MAIL_REQUIRED',
    message: expect.stringMatching(/TENANT_MAIL__HOST.*TENANT_MAIL__FROM/) as unknown,
  })
  expect(entries).toEqual([])
})

test.each(['production', 'development'])('With a mail server, %s sends mails and logs no link', async (environment) => {
  const { logger, entries } = recordingLogger()
  const config = loadConfig({
    NODE_ENV: environment,
    TENANT_SECRET: 'ab'.repeat(32),
    TENANT_MAIL__HOST: '127.0.0.1',
    // Nobody listens there: the attempt to connect shows that SMTP was chosen.
    TENANT_MAIL__PORT: '1',
    TENANT_MAIL__FROM: 'no-reply@acme.example',
  })
  const sender = await openMailSender(config, logger)
  try {
    await expect(sender.send(mail)).rejects.toMatchObject({ code: 'TENANCY_ACCOUNTS_MAIL_FAILED' })
  } finally {
    await sender.close()
  }
  expect(JSON.stringify(entries)).not.toContain(link)
})
