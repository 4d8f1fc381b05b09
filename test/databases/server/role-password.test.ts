import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { Client } from 'pg'
import { expect, test } from 'vitest'
import { quoteIdentifier, quoteLiteral } from '../../../src/postgres/text/quote.js'
import { deriveRolePassword, scramVerifier, secretCheck } from '../../../src/databases/server/role-password.js'
import { testServer, uniqueName, withAdmin } from '../../support/server.js'

const secret = Buffer.alloc(32, 1)

test('A role’s password is 256 bits as base64url, and differs by secret and by database', () => {
  const id = '0190a000-0000-7000-8000-000000000000'
  const password = deriveRolePassword(secret, id)
  expect(password).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(deriveRolePassword(secret, id)).toBe(password)
  const others = [
    deriveRolePassword(Buffer.alloc(32, 2), id),
    deriveRolePassword(secret, id.replace(/0$/, '1')),
    secretCheck(secret),
  ]
  expect(new Set([password, ...others]).size).toBe(4)
})

test('The derivation of role passwords has not changed: existing roles would be locked out', () => {
  expect(deriveRolePassword(secret, '0190a000-0000-7000-8000-000000000000')).toBe(
    '0Hjfcyf-3FcKbIs31XCEGivGw2pKjjRa5j7eMFiyb28',
  )
})

test('A master secret of less than 256 bits is refused', () => {
  expect(() => deriveRolePassword(randomBytes(31), 'x')).toThrow(RangeError)
  expect(() => secretCheck(Buffer.alloc(0))).toThrow(RangeError)
})

test('The SCRAM verifier is that of the example in RFC 7677', () => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
  expect(scramVerifier('pencil', { iterations: 4096, salt })).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  )
})

test('A SCRAM verifier does not contain its password, and no two have the same salt', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'b', 'X', 'Y', '0', '9', '_', '-'), minLength: 8 }),
      (password) => {
        const verifier = scramVerifier(password)
        expect(verifier).not.toContain(password)
        expect(verifier).not.toBe(scramVerifier(password))
      },
    ),
  )
})

test('A password that SASLprep would change is refused', () => {
  for (const password of ['', 'with space', 'grün', 'a\0b']) expect(() => scramVerifier(password)).toThrow(RangeError)
})

test('The server stores our SCRAM verifier unchanged, and accepts its password and no other', async () => {
  const server = await testServer()
  const role = uniqueName()
  const password = deriveRolePassword(secret, role)
  const verifier = scramVerifier(password)
  await withAdmin(async (admin) => {
    await admin.query(`create role ${quoteIdentifier(role)} login password ${quoteLiteral(verifier)}`)
    // The embedded server's own databases are closed to PUBLIC.
    await admin.query(`grant connect on database ${quoteIdentifier(server.database)} to ${quoteIdentifier(role)}`)
    try {
      const { rows } = await admin.query('select rolpassword from pg_authid where rolname = $1', [role])
      expect(rows).toEqual([{ rolpassword: verifier }])
      const connect = async (text: string) => {
        const client = new Client({
          host: server.host,
          port: server.port,
          user: role,
          password: text,
          database: server.database,
        })
        await client.connect()
        await client.end()
        return 'connected'
      }
      expect(await connect(password)).toBe('connected')
      const other = await connect(`${password}x`).catch((error: { code?: string }) => error.code)
      // A server may trust local connections; then it does not check passwords.
      expect(server.embedded ? ['28P01'] : ['28P01', 'connected']).toContain(other)
    } finally {
      await admin.query(`drop owned by ${quoteIdentifier(role)}`)
      await admin.query(`drop role ${quoteIdentifier(role)}`)
    }
  })
})
