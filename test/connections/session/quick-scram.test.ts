import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import fc from 'fast-check'
import pg from 'pg'
import { expect, test } from 'vitest'
import { answerScram, useQuickScram } from '../../../src/connections/session/quick-scram.js'
import { createTenantDatabase } from '../tenant-database.js'

interface Session {
  response: string
  clientNonce: string
  serverSignature: string
}
const sasl = createRequire(import.meta.url)('pg/lib/crypto/sasl.js') as {
  startSession(mechanisms: string[]): Session
  continueSession(session: Session, password: string, serverFirst: string): Promise<void>
}

test('the SCRAM answer to the example of RFC 7677 is the one in the RFC', () => {
  const clientFirst = 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO'
  const serverFirst = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'
  expect(answerScram('pencil', clientFirst, serverFirst, 4096)).toEqual({
    response:
      'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    serverSignature: '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  })
})

test('the SCRAM answer is the one that pg gives', async () => {
  const password = fc.stringMatching(/^[\x21-\x7e]{1,60}$/)
  const salt = fc.uint8Array({ minLength: 1, maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(password, salt, fc.integer({ min: 1, max: 64 }), async (secret, bytes, iterations) => {
      const session = sasl.startSession(['SCRAM-SHA-256'])
      const clientFirst = session.response
      const nonce = session.clientNonce + randomBytes(9).toString('base64')
      const serverFirst = `r=${nonce},s=${Buffer.from(bytes).toString('base64')},i=${iterations}`
      const answer = answerScram(secret, clientFirst, serverFirst)
      await sasl.continueSession(session, secret, serverFirst)
      expect(answer).toEqual({ response: session.response, serverSignature: session.serverSignature })
    }),
  )
})

test.each([
  ['a nonce that does not go on from the client’s', 'r=other,s=AAAA,i=1'],
  ['a nonce that adds nothing', 'r=nonce,s=AAAA,i=1'],
  ['no salt', 'r=nonce+1,i=1'],
  ['a salt that is no base64', 'r=nonce+1,s=A,i=1'],
  ['no iterations', 'r=nonce+1,s=AAAA,i=0'],
  ['many iterations', 'r=nonce+1,s=AAAA,i=65'],
  ['an extension', 'r=nonce+1,s=AAAA,i=1,m=1'],
  ['an error', 'e=other-error'],
  ['nothing', ''],
  ['no text', undefined],
])('the SCRAM answer is left to pg if the server’s message has %s', (_what, serverFirst) => {
  expect(answerScram('secret', 'n,,n=*,r=nonce', serverFirst)).toBeUndefined()
})

test('channel binding and passwords that SASLprep may change are left to pg', () => {
  const serverFirst = 'r=nonce+1,s=AAAA,i=1'
  expect(answerScram('secret', 'n,,n=*,r=nonce', serverFirst)).toBeDefined()
  expect(answerScram('secret', 'p=tls-server-end-point,,n=*,r=nonce', serverFirst)).toBeUndefined()
  for (const password of ['', 'pass word', 'pässword', undefined, 7]) {
    expect(answerScram(password, 'n,,n=*,r=nonce', serverFirst)).toBeUndefined()
  }
})

test('a server that asks for too many SCRAM iterations is refused, whether pg has a limit or not', () => {
  const asked: string[] = []
  const client = {
    password: 'secret',
    saslSession: { mechanism: 'SCRAM-SHA-256', message: 'SASLInitialResponse', response: 'n,,n=*,r=nonce' },
    connection: { emit: (event: string, error: Error) => asked.push(`${event}: ${error.message}`) },
    _handleAuthSASLContinue: ({ data }: { data: string }) => asked.push(data),
  }
  useQuickScram(client as unknown as pg.Client)
  const serverFirst = (iterations: number) => ({ data: `r=nonce+1,s=AAAA,i=${iterations}` })
  for (const iterations of [4096, 4097, 999_999_999]) client._handleAuthSASLContinue(serverFirst(iterations))
  const refused = 'error: The server asks for more than 4096 SCRAM iterations'
  expect(asked).toEqual([serverFirst(4096).data, refused, refused])
})

test('a login succeeds where a login of pg succeeds, and fails where it fails', async () => {
  const database = await createTenantDatabase()
  const { account } = await database.resolveTarget()
  const outcome = async (password: string, prepare: (client: pg.Client) => void) => {
    const client = new pg.Client({ ...account, ssl: false, password })
    prepare(client)
    try {
      await client.connect()
      return (await client.query<{ current_user: string }>('select current_user')).rows
    } catch (error) {
      return (error as pg.DatabaseError).code
    } finally {
      await client.end()
    }
  }
  expect(await outcome(account.password, useQuickScram)).toEqual([{ current_user: account.user }])
  // A server with trust authentication lets in both.
  const wrong = `${account.password}x`
  expect(await outcome(wrong, useQuickScram)).toEqual(await outcome(wrong, () => {}))
  await database.drop()
})
