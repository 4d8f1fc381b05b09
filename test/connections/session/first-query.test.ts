import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import pg from 'pg'
import second from 'pg-second'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { closeSession, openSession } from '../../../src/connections/session/open-session.js'
import { type PgCopy, pgCopyOf } from '../../../src/connections/session/client/pg-copy.js'
import { identityQuery, type TenantDatabaseTarget } from '../../../src/core/tenants/database-target.js'
import { scramVerifier } from '../../../src/databases/server/role-password.js'
import { hmacSha256, scramKeys } from '../../../src/postgres/scram/scram.js'
import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { withAdmin } from '../../support/server.js'
import { createTenantDatabase, type TestTenantDatabase } from '../tenant-database.js'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

const copies: [string, PgCopy][] = [
  ['the newest pg', pgCopyOf(pg)],
  ['pg 8.16', pgCopyOf(second)],
]
const options = { timeoutMs: 5000, prepareStatements: true }

async function listen(onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.setNoDelay(true))
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    onSocket(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  closing.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

describe.each(copies)('on a real server, with %s', (_name, copy) => {
  let database: TestTenantDatabase
  beforeAll(async () => {
    database = await createTenantDatabase()
    const { user, password } = database.target.account
    const verifier = scramVerifier(password, { iterations: 1 })
    await withAdmin((admin) => admin.query(`alter role ${quoteIdentifier(user)} password '${verifier}'`))
  })
  afterAll(() => database?.drop())

  /** Passes all on to the server, and keeps what the client has sent, piece by piece. */
  async function overhear() {
    const sent: string[] = []
    const { account } = database.target
    const port = await listen((client) => {
      const server = connect({ host: account.host, port: account.port })
      client.on('data', (data: Buffer) => sent.push(data.toString('latin1')))
      client.pipe(server).pipe(client)
      server.on('error', () => client.destroy())
      client.on('close', () => server.destroy())
    })
    return { sent, target: { ...database.target, account: { ...account, host: '127.0.0.1', port } } }
  }

  test('the proof of the password and the identity query go out together, and the connection works as any other', async () => {
    const { sent, target } = await overhear()
    const client = await openSession(target, {}, { ...options, copy })
    expect([client.ready, client.outsideTransaction, client.touched]).toEqual([true, true, false])
    const asked = sent.filter((piece) => piece.includes(identityQuery))
    expect(asked).toHaveLength(1)
    // A server with trust authentication asks for no proof.
    const proofs = sent.filter((piece) => /,p=[A-Za-z0-9+/=]{44}/.test(piece))
    expect(proofs).toEqual(proofs.length === 0 ? [] : asked)
    expect(await client.read('select 1 as n')).toEqual([{ n: 1 }])
    await expect(client.read('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
    const { rows } = await (client as pg.Client).query<{ n: number }>('select $1::int as n', [2])
    expect(rows).toEqual([{ n: 2 }])
    expect(await client.reset()).toBe(true)
    expect(client.ready).toBe(true)
    await closeSession(client)
  })

  test('through a pooler, the identity query waits for the end of the login', async () => {
    const { sent, target } = await overhear()
    await closeSession(await openSession(target, {}, { ...options, copy, throughPooler: true }))
    const [asked, ...others] = sent.filter((piece) => piece.includes(identityQuery))
    expect(others).toEqual([])
    expect(asked).toMatch(/^Q/)
  })

  test('a wrong password is refused with the server’s reason', async () => {
    const account = { ...database.target.account, password: 'wrong' }
    const attempt = () => openSession({ ...database.target, account }, {}, { ...options, copy })
    const plain = new pg.Client({ ...account, ssl: false })
    const isTrusted = await plain.connect().then(
      () => true,
      () => false,
    )
    await plain.end()
    if (isTrusted) await closeSession(await attempt())
    else await expect(attempt()).rejects.toMatchObject({ code: '28P01' })
  })

  test('a database without an identity row, or without the table, is refused', async () => {
    await withAdmin((admin) => admin.query('alter table tenants2fast.identity rename to hidden'), database.key)
    await expect(openSession(database.target, {}, { ...options, copy })).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_IDENTITY_MISMATCH',
      message: expect.stringContaining('0 identity rows'),
    })
    await withAdmin((admin) => admin.query('alter table tenants2fast.hidden rename to identity'), database.key)
    await expect(openSession({ ...database.target, epoch: 2 }, {}, { ...options, copy })).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_IDENTITY_MISMATCH',
    })
    await closeSession(await openSession(database.target, {}, { ...options, copy }))
  })
})

const target: TenantDatabaseTarget = {
  databaseId: '00000000-0000-4000-8000-000000000000',
  epoch: 1,
  account: { host: '127.0.0.1', port: 0, user: 'tenant', password: 'secret', database: 'tenant' },
}

const int16 = (value: number) => Buffer.from([value >> 8, value & 255])
const int32 = (value: number) => Buffer.concat([int16((value >> 16) & 0xffff), int16(value & 0xffff)])
const message = (type: string, ...parts: (Buffer | string)[]) => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)))
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body])
}
const authentication = (kind: number, text = '') => message('R', int32(kind), text)
const ready = message('Z', 'I')
const columns = [
  ['database_id', 2950, target.databaseId],
  ['epoch', 23, '1'],
  ['database_name', 19, 'tenant'],
  ['role_name', 19, 'tenant'],
  ['has_settings', 16, 'f'],
] as const
const fieldOf = ([name, type]: (typeof columns)[number]) =>
  Buffer.concat([Buffer.from(`${name}\0`), int32(0), int16(0), int32(type), int16(-1), int32(-1), int16(0)])
const identityAnswer = Buffer.concat([
  message('T', int16(columns.length), ...columns.map(fieldOf)),
  message('D', int16(columns.length), ...columns.flatMap(([, , value]) => [int32(value.length), value])),
  message('C', 'SELECT 1\0'),
  ready,
])

/** A server of our own making that knows the password. `finish` answers the client's proof, and the query behind it. */
async function startServer(finish: (signature: string, socket: Socket) => void, closeAfter = Infinity) {
  return listen((socket) => {
    let step = 0
    let clientFirst = ''
    const nonceEnd = 'server'
    const salt = Buffer.from('salt')
    socket.on('data', (data: Buffer) => {
      step += 1
      if (step > closeAfter) return socket.destroy()
      const text = data.toString('latin1')
      if (step === 1) return socket.write(authentication(10, 'SCRAM-SHA-256\0\0'))
      const nonce = /r=([^,\0]+)/.exec(text)?.[1] ?? ''
      const serverFirst = `r=${nonce}${nonceEnd},s=${salt.toString('base64')},i=1`
      if (step === 2) {
        clientFirst = text.slice(text.indexOf('n=*'))
        return socket.write(authentication(11, serverFirst))
      }
      if (step > 3) return undefined
      const first = `r=${nonce},s=${salt.toString('base64')},i=1`
      const { serverKey } = scramKeys('secret', salt, 1)
      const signed = `${clientFirst},${first},c=biws,r=${nonce}`
      return finish(`v=${hmacSha256(serverKey, signed).toString('base64')}`, socket)
    })
  })
}

const openAt = (port: number, copy: PgCopy, throughPooler = false) =>
  openSession({ ...target, account: { ...target.account, port } }, {}, { ...options, copy, throughPooler })

describe.each(copies)('a server that behaves in its own way, with %s', (_name, copy) => {
  test('a server that proves that it knows the password, and whose answer is right, is believed', async () => {
    const port = await startServer((signature, socket) => {
      socket.write(Buffer.concat([authentication(12, signature), authentication(0), ready, identityAnswer]))
    })
    const client = await openAt(port, copy)
    expect(client.ready).toBe(true)
    client.destroy()
  })

  test('an answer that comes byte by byte is the same', async () => {
    const port = await startServer((signature, socket) => {
      const all = Buffer.concat([authentication(12, signature), authentication(0), ready, identityAnswer])
      for (const byte of all) socket.write(Buffer.from([byte]))
    })
    const client = await openAt(port, copy)
    expect(client.ready).toBe(true)
    client.destroy()
  })

  test('a server that lets the client in without its own proof is not believed', async () => {
    const port = await startServer((_signature, socket) => {
      socket.write(Buffer.concat([authentication(0), ready, identityAnswer]))
    })
    for (const throughPooler of [false, true]) {
      const attempt = openAt(port, copy, throughPooler)
      await expect(attempt).rejects.toThrow('The server ended the login before its own proof')
    }
  })

  test.each([
    ['asks for no password', []],
    ['asks for a password in clear', [authentication(3)]],
    ['asks for a hash by MD5', [authentication(5, 'salt')]],
  ])('a server that %s gets the query after the login', async (_what, asks) => {
    const sent: string[] = []
    const answers = [...asks, Buffer.concat([authentication(0), ready]), identityAnswer]
    const port = await listen((socket) => {
      socket.on('data', (data: Buffer) => {
        sent.push(data.toString('latin1'))
        socket.write(answers[sent.length - 1] ?? '')
      })
    })
    const client = await openAt(port, copy)
    expect(client.ready).toBe(true)
    expect(sent.map((piece) => piece.includes(identityQuery))).toEqual([...asks.map(() => false), false, true])
    client.destroy()
  })

  test.each([
    ['before it asks for a password', [authentication(11, 'r=x,s=c2FsdA==,i=1')]],
    ['after the login', [Buffer.concat([authentication(0), authentication(11, 'r=x,s=c2FsdA==,i=1')])]],
  ])('a SCRAM challenge that comes %s is an error and no more', async (_when, answers) => {
    const port = await listen((socket) => {
      let step = 0
      socket.on('data', () => socket.write(answers[step++] ?? ''))
    })
    await expect(openAt(port, copy)).rejects.toThrow()
  })

  test('a server that answers the query by two results is not believed, and the connection is closed', async () => {
    const sockets: Socket[] = []
    const port = await listen((socket) => {
      sockets.push(socket)
      const twice = Buffer.concat([identityAnswer.subarray(0, -ready.length), identityAnswer])
      const answers = [Buffer.concat([authentication(0), ready]), twice]
      let step = 0
      socket.on('data', () => socket.write(answers[step++] ?? ''))
    })
    await expect(openAt(port, copy)).rejects.toMatchObject({ code: 'TENANCY_DATABASE_IDENTITY_MISMATCH' })
    await expect.poll(() => sockets.every(({ destroyed }) => destroyed)).toBe(true)
  })

  test('a server with a wrong proof is not believed', async () => {
    const wrong = `v=${Buffer.alloc(32).toString('base64')}`
    const port = await startServer((_signature, socket) => {
      socket.write(Buffer.concat([authentication(12, wrong), authentication(0), ready, identityAnswer]))
    })
    await expect(openAt(port, copy)).rejects.toThrow(/signature/)
  })

  test.each([1, 2])(
    'a server that closes the connection instead of answer %i of the login is an error',
    async (count) => {
      const port = await startServer(() => {}, count - 1)
      await expect(openAt(port, copy)).rejects.toThrow(/terminated|ECONNRESET/)
    },
  )

  test('a server that closes the connection after the proof, or before its answer to the query, is an error', async () => {
    const finishes = [
      (_signature: string, socket: Socket) => socket.destroy(),
      (signature: string, socket: Socket) => socket.end(authentication(12, signature)),
      (signature: string, socket: Socket) =>
        socket.end(Buffer.concat([authentication(12, signature), authentication(0), ready])),
      (signature: string, socket: Socket) =>
        socket.end(
          Buffer.concat([authentication(12, signature), authentication(0), ready, identityAnswer.subarray(0, -6)]),
        ),
    ]
    for (const finish of finishes) {
      await expect(openAt(await startServer(finish), copy)).rejects.toThrow(/terminated|ECONNRESET/)
    }
  })

  test('a server that never answers the query is given up at the deadline', async () => {
    const port = await startServer((signature, socket) => {
      socket.write(Buffer.concat([authentication(12, signature), authentication(0), ready]))
    })
    const at = { ...target, account: { ...target.account, port } }
    await expect(openSession(at, {}, { ...options, copy, timeoutMs: 200 })).rejects.toThrow(/terminated/)
  })
})

test('a server that answers the query before it has let the client in is not believed', async () => {
  const port = await startServer((signature, socket) => {
    socket.write(Buffer.concat([identityAnswer, authentication(12, signature), authentication(0), ready]))
  })
  const [[, copy]] = copies as [[string, PgCopy]]
  await expect(openAt(port, copy)).rejects.toThrow()
})
