import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createCatalogPool } from '../../../src/catalog/catalog-pool.js'
import { beginSession, openSession } from '../../../src/connections/session/open-session.js'
import type { ServerAccount } from '../../../src/core/tenants/database-target.js'
import { parseDatabaseUrl } from '../../../src/core/config/database-url.js'
import { withConnection } from '../../../src/databases/server/admin-connection.js'
import { scramVerifier } from '../../../src/databases/server/role-password.js'
import { describeWith } from '../../support/requirements.js'
import { hasOpenssl, TestAuthority } from '../../support/servers/certificates.js'
import { type PrivateServer, startPrivateServer } from '../../support/servers/private-server.js'

describeWith(
  { isMet: hasOpenssl, need: 'openssl, which makes its certificates: install openssl' },
  'TLS by parameters of TENANT_DATABASE_URL',
  () => {
    let authority: TestAuthority
    let stranger: TestAuthority
    let server: PrivateServer

    beforeAll(async () => {
      authority = new TestAuthority()
      stranger = new TestAuthority()
      server = await startPrivateServer({
        tls: authority.issue('localhost', 'DNS:localhost'),
        hba: [
          'hostssl all scram_user 127.0.0.1/32 scram-sha-256',
          'hostssl all tenant_user 127.0.0.1/32 scram-sha-256',
          'hostssl all md5_user 127.0.0.1/32 md5',
          'hostssl all plain_user 127.0.0.1/32 password',
          'hostssl all trusted_user 127.0.0.1/32 trust',
          'host all postgres 127.0.0.1/32 scram-sha-256',
        ],
      })
      await withConnection(server.account, (client) =>
        client.query(`
        create role scram_user login password 'pw'; create role tenant_user login password '${scramVerifier('pw')}'; create role plain_user login password 'pw'; create role trusted_user login;
        set password_encryption = 'md5'; create role md5_user login password 'pw';
        grant connect on database postgres to scram_user, tenant_user, plain_user, trusted_user, md5_user`),
      )
    }, 120_000)
    afterAll(async () => {
      await server?.stop()
      authority?.remove()
      stranger?.remove()
    })

    const accountOf = (
      parameters: string,
      { host = 'localhost', port = server.account.port, user = 'scram_user' } = {},
    ) => parseDatabaseUrl(`postgres://${user}:pw@${host}:${port}/postgres?${parameters}`)

    async function cipherOf(account: ServerAccount): Promise<unknown> {
      return withConnection(account, async (client) => {
        const { rows } = await client.query('select ssl, cipher from pg_stat_ssl where pid = pg_backend_pid()')
        return rows[0]
      })
    }
    const encrypted = { ssl: true, cipher: expect.stringMatching(/^TLS_/) }
    const ca = () => `sslrootcert=${encodeURIComponent(authority.certificate)}`
    const foreign = () => `sslrootcert=${encodeURIComponent(stranger.certificate)}`

    test('Without sslmode a connection is not encrypted, and a server that requires TLS refuses it', async () => {
      await expect(cipherOf(accountOf(''))).rejects.toMatchObject({ code: '28000' })
    })

    test('Sslmode=require encrypts and accepts any certificate', async () => {
      expect(await cipherOf(accountOf('sslmode=require'))).toEqual(encrypted)
    })

    test('Sslmode=verify-ca and verify-full accept a certificate of the given authority', async () => {
      expect(await cipherOf(accountOf(`sslmode=verify-ca&${ca()}`))).toEqual(encrypted)
      expect(await cipherOf(accountOf(`sslmode=verify-full&${ca()}`))).toEqual(encrypted)
    })

    test('Sslmode=require with a root certificate verifies the authority, as libpq does', async () => {
      expect(await cipherOf(accountOf(`sslmode=require&${ca()}`))).toEqual(encrypted)
      await expect(cipherOf(accountOf(`sslmode=require&${foreign()}`))).rejects.toThrow(/certificate/)
    })

    test.each(['verify-ca', 'verify-full'])(
      'sslmode=%s refuses a certificate of another authority, also without a given one',
      async (mode) => {
        await expect(cipherOf(accountOf(`sslmode=${mode}&${foreign()}`))).rejects.toThrow(/certificate/)
        await expect(cipherOf(accountOf(`sslmode=${mode}`))).rejects.toThrow(/certificate/)
      },
    )

    test('Sslmode=verify-full with the system’s authorities refuses a certificate of another authority', async () => {
      await expect(cipherOf(accountOf('sslmode=verify-full&sslrootcert=system'))).rejects.toThrow(/certificate/)
      await expect(cipherOf(accountOf('sslrootcert=system'))).rejects.toThrow(/certificate/)
    })

    test('Only sslmode=verify-full compares the host with the certificate, and an address is not one of its names', async () => {
      expect(await cipherOf(accountOf(`sslmode=verify-ca&${ca()}`, { host: '127.0.0.1' }))).toEqual(encrypted)
      await expect(cipherOf(accountOf(`sslmode=verify-full&${ca()}`, { host: '127.0.0.1' }))).rejects.toThrow(
        /IP: 127.0.0.1 is not in the cert/,
      )
    })

    describe('a tenant’s session', () => {
      const options = { timeoutMs: 5000, prepareStatements: true }
      const account = (parameters: string) => accountOf(parameters, { user: 'tenant_user' })

      test.each([
        'sslmode=require',
        'sslmode=require&channel_binding=prefer',
        'sslmode=require&channel_binding=require',
      ])('A tenant’s session with %s is asked for its identity, and refused without it', async (parameters) => {
        const target = { databaseId: 'x', epoch: 1, account: account(parameters) }
        await expect(openSession(target, {}, options)).rejects.toMatchObject({
          code: 'TENANCY_DATABASE_IDENTITY_MISMATCH',
          message: expect.stringContaining('0 identity rows'),
        })
      })

      test('A tenant’s session whose certificate is refused is an error', async () => {
        const target = { databaseId: 'x', epoch: 1, account: account(`sslmode=verify-full&${foreign()}`) }
        await expect(openSession(target, {}, options)).rejects.toThrow(/certificate/)
      })

      test('A session that is broken off at any point of its login leaves no backend behind', async () => {
        for (let turns = 0; turns < 60; turns += 1) {
          const session = beginSession(account('sslmode=require'), {}, options)
          for (let turn = 0; turn < turns; turn += 1) await nextTurn()
          session.discard()
          const target = { databaseId: 'x', epoch: 1, account: session.account }
          await expect(session.prove(target)).rejects.toThrow()
        }
        const count = () =>
          withConnection(server.account, async (client) => {
            const { rows } = await client.query("select from pg_stat_activity where usename = 'tenant_user'")
            return rows.length
          })
        await expect.poll(count).toBe(0)
      })
    })

    describe('channel_binding=require', () => {
      const bound = 'sslmode=require&channel_binding=require'

      test('Channel_binding=require logs in with channel binding', async () => {
        expect(await cipherOf(accountOf(bound))).toEqual(encrypted)
        expect(await cipherOf(accountOf('sslmode=require&channel_binding=prefer'))).toEqual(encrypted)
      })

      test('Channel_binding=require holds for the catalog’s pool, its separate connection, and tenants’ sessions', async () => {
        const pool = createCatalogPool(accountOf(bound))
        expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
        const alone = await pool.connectAlone()
        await alone.end()
        await pool.end()
        const target = { databaseId: 'x', epoch: 1, account: accountOf(bound) }
        const options = { timeoutMs: 5000, prepareStatements: false }
        // Logged in: the database has no identity row.
        await expect(openSession(target, {}, options)).rejects.toMatchObject({
          code: 'TENANCY_DATABASE_IDENTITY_MISMATCH',
        })
      })

      test.each([
        ['md5_user', /asks for a password in another way|does not offer it/],
        ['plain_user', /asks for a password in another way/],
        ['trusted_user', /has not proved that it knows the password/],
      ])('channel_binding=require refuses a server that logs %s in without channel binding', async (user, message) => {
        await expect(cipherOf(accountOf(bound, { user }))).rejects.toThrow(message)
        // Without channel_binding=require, the driver accepts it.
        expect(await cipherOf(accountOf('sslmode=require', { user }))).toEqual(encrypted)
        const pool = createCatalogPool(accountOf(bound, { user }))
        await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
        await expect(pool.connectAlone()).rejects.toThrow(message)
        await pool.end()
        const target = { databaseId: 'x', epoch: 1, account: accountOf(bound, { user }) }
        await expect(openSession(target, {}, { timeoutMs: 5000, prepareStatements: false })).rejects.toThrow(message)
      })

      test('A login with channel binding cannot be relayed by an attacker with another certificate, and one without it can', async () => {
        const between = await startInterposer(stranger.issue('between', 'DNS:localhost'), server.account.port)
        try {
          const { port } = between
          expect(await cipherOf(accountOf('sslmode=require', { port }))).toEqual(encrypted)
          expect(between.overheard()).toContain('pg_stat_ssl')
          await expect(cipherOf(accountOf(bound, { port }))).rejects.toThrow(/channel binding/)
        } finally {
          await between.close()
        }
      })
    })

    test('Connect_timeout ends the wait for a server that does not answer, and application_name reaches the server', async () => {
      const sockets: Socket[] = []
      const silentServer = createServer((socket) => void sockets.push(socket))
      await new Promise<void>((resolve) => silentServer.listen(0, '127.0.0.1', resolve))
      const { port } = silentServer.address() as AddressInfo
      await expect(cipherOf(accountOf('connect_timeout=1', { port, host: '127.0.0.1' }))).rejects.toThrow(/timeout/)
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => {
        silentServer.close(resolve)
      })
      const shown = await withConnection(accountOf('sslmode=require&application_name=billing'), (client) =>
        client.query('show application_name'),
      )
      expect(shown.rows).toEqual([{ application_name: 'billing' }])
    })
  },
)

/** Terminates TLS on both sides and forwards what it reads. */
async function startInterposer(files: { key: string; certificate: string }, upstreamPort: number) {
  const [key, cert] = [readFileSync(files.key), readFileSync(files.certificate)]
  const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
  const sockets = new Set<Socket>()
  const quietly = <S extends Socket>(socket: S): S => {
    sockets.add(socket)
    return socket.on('error', () => socket.destroy())
  }
  let overheard = ''
  const server = createServer((client) => {
    quietly(client).once('data', () => {
      const upstream = quietly(connect(upstreamPort, '127.0.0.1', () => upstream.write(sslRequest)))
      upstream.once('data', () => {
        const far = quietly(tls.connect({ socket: upstream, rejectUnauthorized: false }))
        const near = quietly(new tls.TLSSocket(client, { isServer: true, key, cert }))
        client.write('S')
        near.on('data', (chunk) => (overheard += chunk.toString('latin1')))
        near.pipe(far).pipe(near)
        for (const [one, other] of [
          [near, far],
          [far, near],
        ] as const)
          one.on('close', () => other.destroy())
      })
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    overheard: () => overheard,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}
