import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../../src/core/config/load-config.js'
import { parseDatabaseUrl } from '../../../src/core/config/database-url.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 't2f-url-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const problemOf = (url: string): string => {
  try {
    loadConfig({ TENANT_DATABASE_URL: url })
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

test.each([
  'postgres://one:5432,two:5432/app',
  'postgres://u:p@one,two/app',
  'postgresql://one,two:5433',
  'postgres:///app?host=one,two',
  'postgres:///app?hostaddr=10.0.0.1,10.0.0.2',
])('%s names several hosts and is refused; the message says to give one address that leads to the primary', (url) => {
  expect(problemOf(url)).toMatch(
    /^Invalid configuration:\n- TENANT_DATABASE_URL names several hosts, and one is supported: give the address that always leads to the primary/,
  )
})

test('a comma in a password or a database name does not make a second host', () => {
  expect(parseDatabaseUrl('postgres://u:a,b@one/x,y')).toMatchObject({ host: 'one', password: 'a,b', database: 'x,y' })
})

test.each([
  ['sslmode=prefer', /an sslmode other than disable, require, verify-ca, verify-full/],
  ['sslmode=allow', /an sslmode other than/],
  ['sslmode=require&sslmode=disable', /sslmode more than once/],
  ['sslrootcert=/etc/ssl/ca.pem', /an sslrootcert, which needs an sslmode/],
  ['sslmode=verify-full&sslrootcert=/nowhere/ca.pem', /\/nowhere\/ca\.pem, a file that cannot be read \(ENOENT\)/],
  ['sslmode=require&sslrootcert=system', /sslrootcert=system, which needs sslmode=verify-full/],
  ['channel_binding=require', /channel_binding=require, which needs an sslmode with TLS/],
  ['sslmode=require&channel_binding=maybe', /a channel_binding other than/],
  ['connect_timeout=soon', /a connect_timeout that is no whole number/],
  ['options=-c%20role%3Dx', /parameters that are not supported: options; there are sslmode, sslrootcert/],
])('a database URL with ?%s is refused', (parameters, message) => {
  expect(problemOf(`postgres://localhost/app?${parameters}`)).toMatch(message)
})

test('a root certificate file without a certificate is refused', () => {
  const path = join(folder, 'empty.pem')
  writeFileSync(path, 'nothing')
  expect(problemOf(`postgres://localhost/?sslmode=verify-ca&sslrootcert=${path}`)).toContain(
    'a file without a certificate in PEM format',
  )
})

test('parameters of libpq keep their names and meanings', () => {
  const url = 'postgres://localhost/?sslmode=require&channel_binding=require&connect_timeout=7&application_name=billing'
  expect(parseDatabaseUrl(url)).toMatchObject({
    ssl: { rejectUnauthorized: false },
    channelBinding: 'require',
    connectTimeoutMs: 7000,
    applicationName: 'billing',
  })
  const plain = parseDatabaseUrl('postgres://localhost/?connect_timeout=0&channel_binding=prefer&application_name=')
  expect(plain).toEqual({ host: 'localhost', port: 5432, user: 'postgres', password: '', database: 'postgres' })
})

test('no message about a database URL has any part of its password', () => {
  const part = fc.stringMatching(/^[ -~]{0,12}$/)
  fc.assert(
    fc.property(part, part, (before, after) => {
      for (const url of [
        `postgres://u:${before}s3cr3t${after}@localhost/app`,
        `postgres://u:${encodeURIComponent(before)}s3cr3t@localhost/app?nonsense=1`,
        `postgres://u:${before}s3cr3t${after}@one,two/app`,
      ]) {
        expect(problemOf(url)).not.toContain('s3cr3t')
      }
    }),
    { numRuns: 1000 },
  )
})
