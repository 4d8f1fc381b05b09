import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describeFreshStart } from '../../examples/quick-start/outdated-data.js'
import { startEmbeddedServer } from '../../src/databases/embedded/index.js'
import { createTestAccount, type TestAccount } from '../support/account.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { type NodeProcess, repository, startNode } from '../support/processes/node-process.js'
import { dropDatabase } from '../support/catalog.js'
import { testServer, withAdmin } from '../support/server.js'
import { type ProxyMode, startTcpProxy } from '../support/proxies/tcp-proxy.js'

const program = join(repository, 'examples/quick-start/main.js')
const hasCurl = (() => {
  try {
    execFileSync('curl', ['--version'])
    return true
  } catch {
    return false
  }
})()

let account: TestAccount
let installation: Installation
/** Empty, so that no `.env` of a developer is read. */
let folder: string
let processes: NodeProcess[]

beforeEach(async () => {
  processes = []
  account = await createTestAccount()
  installation = createInstallation()
  folder = await mkdtemp(join(tmpdir(), 't2f-quick-start-'))
})
afterEach(async () => {
  for (const child of processes) child.kill('SIGKILL')
  await Promise.all(processes.map((child) => child.ended))
  await account.disconnected()
  await installation.drop()
  await account.drop()
  await rm(folder, { recursive: true })
})

function start(env: Record<string, string> = {}): NodeProcess {
  const child = startNode([program], {
    cwd: folder,
    env: {
      PORT: '0',
      TENANT_DATABASE_URL: account.url,
      TENANT_CATALOG_DB: installation.catalogName,
      TENANT_DB_PREFIX: installation.prefix,
      ...env,
    },
  })
  processes.push(child)
  return child
}

async function startAndServe(env: Record<string, string> = {}): Promise<NodeProcess & { lines: CurlLine[] }> {
  const child = start(env)
  await child.printed('Ctrl-C stops it')
  return Object.assign(Object.create(child), { lines: curlLines(child.stdout) })
}

/** A command that the quick start printed, with what it says the answer is. */
interface CurlLine {
  readonly title: string
  readonly command: string
  readonly expected: string
  readonly url: string
  readonly headers: Record<string, string>
  /** Undefined: it is a GET. */
  readonly body: string | undefined
}

const requestOf = ({ headers, body }: CurlLine): RequestInit =>
  body === undefined ? { headers } : { method: 'POST', headers, body }

function curlLines(output: string): CurlLine[] {
  return [...output.matchAll(/^# (.*)\n(curl .*)\n# → (.*)$/gm)].map(([, title = '', command = '', expected = '']) => {
    const url = /\shttp:\S+/.exec(command)?.[0].trim() ?? ''
    const headers = [...command.matchAll(/-H '([^:']+): ([^']*)'/g)].map(([, name = '', value = '']) => [name, value])
    const body = / -d '([^']*)'/.exec(command)?.[1]
    return { title, command, expected, url, headers: Object.fromEntries(headers) as Record<string, string>, body }
  })
}

const answers = [
  { status: 200, body: '{"name":"Acme Corporation","slug":"acme"}' },
  { status: 200, body: '{"user":"dana@example.com"}' },
  { status: 403, body: '"code":"TENANCY_ACCESS_DENIED"' },
  { status: 200, body: 'The first note of Acme Corporation' },
  { status: 200, body: 'The first note of Globex' },
  { status: 403, body: '"code":"TENANCY_TENANT_FORBIDDEN"' },
  { status: 201, body: '"slug":"initech"' },
  { status: 201, body: '"email":"you-' },
]

/** Makes a catalog look as the versions before the baseline left it, for whoever reads the ledger. */
const oldLedger = `
  delete from schema_migrations;
  insert into schema_migrations (version, name, checksum) values (1, '0001_catalog.sql', 'a'), (2, '0002_access.sql', 'b')`

describe('npm start on a server', () => {
  test('npm start prints lines that do what they say, Ctrl-C stops all of it, and the next start finds the data', async () => {
    const first = await startAndServe()
    expect(first.stdout).toMatch(/listening on http:\/\/127\.0\.0\.1:\d+ \(PostgreSQL on /)
    expect(first.lines).toHaveLength(answers.length)
    for (const [index, line] of first.lines.entries()) {
      const { url, expected, command } = line
      const { status, body } = answers[index]!
      expect(expected).toContain(String(status))
      const response = await fetch(url, requestOf(line))
      expect([response.status, await response.text()]).toEqual([status, expect.stringContaining(body)])
      if (hasCurl) {
        const printed = execFileSync('sh', ['-c', command], { encoding: 'utf8' })
        expect(printed).toContain(body)
        expect(printed.trimEnd().split('\n').at(-1)).toBe(String(status))
      }
    }
    const acmeNotes = first.lines[3]!
    const posted = await fetch(acmeNotes.url, {
      method: 'POST',
      headers: { ...acmeNotes.headers, 'content-type': 'application/json' },
      body: JSON.stringify({ body: 'kept' }),
    })
    expect(posted.status).toBe(201)
    first.kill('SIGINT')
    expect(await first.ended).toBe(0)
    await account.disconnected()

    const second = await startAndServe()
    const notes = async ({ url, headers }: CurlLine) =>
      ((await (await fetch(url, { headers })).json()) as { body: string }[]).map((note) => note.body)
    expect(await notes(second.lines[3]!)).toEqual(['The first note of Acme Corporation', 'kept'])
    expect(await notes(second.lines[4]!)).toEqual(['The first note of Globex'])
    second.kill('SIGTERM')
    expect(await second.ended).toBe(0)
    expect(second.stderr).not.toContain('unhandled')
  })

  test('a forged tenant header is answered byte for byte like a missing tenant, apart from the request’s id', async () => {
    const child = await startAndServe()
    const { url, headers } = child.lines[5]!
    const seen = async (tenant: string) => {
      const response = await fetch(url, { headers: { ...headers, 'X-Tenant-Id': tenant } })
      const all = [...response.headers].filter(([name]) => name !== 'date')
      return { status: response.status, headers: all, body: (await response.text()).replace(/"req-\d"/, '"req"') }
    }
    const missing = await seen('no-such-tenant')
    expect(missing.status).toBe(403)
    expect(await seen('globex')).toEqual(missing)
    child.kill('SIGINT')
    expect(await child.ended).toBe(0)
  })

  test('Ctrl-C during the start stops npm start, and the next start works', async () => {
    for (const moment of ['connected', 'catalog', 'tenant'] as const) {
      const child = start()
      while (!(await reached(moment))) await sleep(5)
      child.kill('SIGINT')
      expect([moment, await child.ended]).toEqual([moment, 0])
      await account.disconnected()
    }
    const child = await startAndServe()
    const { url, headers } = child.lines[4]!
    expect((await fetch(url, { headers })).status).toBe(200)
    child.kill('SIGINT')
    expect(await child.ended).toBe(0)
  })

  async function reached(moment: 'connected' | 'catalog' | 'tenant'): Promise<boolean> {
    if (moment === 'connected') return (await account.connections()) > 0
    const { databases } = await installation.onServer()
    if (moment === 'catalog') return databases.includes(installation.catalogName) && (await account.connections()) > 0
    return databases.length > 2 && (await account.connections()) > 0
  }

  test('npm start with a port in use names it, exits with code 1 and leaves nothing running', async () => {
    const other = createServer()
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    try {
      const { port } = other.address() as { port: number }
      const child = start({ PORT: String(port) })
      expect(await child.ended).toBe(1)
      expect(child.stderr).toMatch(new RegExp(`\\b${port}\\b.*in use|in use.*\\b${port}\\b`))
      expect(child.stdout).not.toContain('listening on')
    } finally {
      other.close()
    }
  })

  test('npm start offers a new catalog for one from before the first release, and the offer works', async () => {
    const first = await startAndServe()
    first.kill('SIGINT')
    expect(await first.ended).toBe(0)
    await withAdmin((admin) => admin.query(oldLedger), installation.catalogName)

    const refused = start()
    expect(await refused.ended).toBe(1)
    expect(refused.stderr).toContain(
      `The catalog in database "${installation.catalogName}" is from before the first release`,
    )
    expect(refused.stderr).not.toMatch(/^\s+at /m)
    const [, name = ''] = /TENANT_CATALOG_DB=(\S+) npm start/.exec(refused.stderr) ?? []
    expect(name).toBe(`${installation.catalogName}_2`)
    try {
      const second = await startAndServe({ TENANT_CATALOG_DB: name })
      expect(second.lines).toHaveLength(answers.length)
      second.kill('SIGINT')
      expect(await second.ended).toBe(0)
      await account.disconnected()
    } finally {
      await withAdmin((admin) => dropDatabase(admin, name))
    }
  })

  test.each([
    ['no number', { PORT: 'http' }, /PORT/],
    ['a setting that does not exist', { TENANT_DB_PREFX: 'x_' }, /TENANT_DB_PREFX is not a setting/],
    ['a server that is not there', { TENANT_DATABASE_URL: 'postgres://u:very-secret@127.0.0.1:1/x' }, /127\.0\.0\.1:1/],
  ])('%s: an error that says so, with exit code 1', async (_name, env, text) => {
    const child = start(env)
    expect(await child.ended).toBe(1)
    expect(child.stderr).toMatch(text)
    expect(child.stderr).not.toContain('very-secret')
  })

  test.each<ProxyMode>(['reset', 'silence'])(
    'an outage of the server (%s) ends no process: 503, then served again, then Ctrl-C',
    { timeout: 120_000 },
    async (mode) => {
      const proxy = await startTcpProxy(await testServer())
      try {
        const url = new URL(account.url)
        url.port = String(proxy.port)
        const child = await startAndServe({ TENANT_DATABASE_URL: url.href, TENANT_MAX_STALENESS_MS: '500' })
        const ask = async (index: number) => {
          const line = child.lines[index]!
          const response = await fetch(line.url, { headers: line.headers })
          return { status: response.status, retryAfter: response.headers.get('retry-after') }
        }
        expect((await ask(0)).status).toBe(200)
        await proxy.set(mode)
        await sleep(600)
        for (const answer of await Promise.all([0, 1, 2, 5].map(ask))) {
          expect(answer).toEqual({ status: 503, retryAfter: '1' })
        }
        await proxy.set('pass')
        while ((await ask(3)).status !== 200) await sleep(50)
        await proxy.set(mode)
        child.kill('SIGINT')
        expect(await child.ended).toBe(0)
        expect(child.stderr).not.toMatch(/unhandled|uncaught/i)
      } finally {
        await proxy.close()
      }
    },
  )
})

test('npm start offers a fresh folder when its own is from before the first release, and serves from that one', async () => {
  const embedded = (dataDir: string): NodeProcess => {
    const child = startNode([program], { cwd: folder, env: { PORT: '0', TENANT_DATA_DIR: dataDir } })
    processes.push(child)
    return child
  }
  const stop = async (child: NodeProcess) => {
    await child.printed('Ctrl-C stops it')
    child.kill('SIGINT')
    expect(await child.ended).toBe(0)
  }
  await stop(embedded('data'))
  const server = await startEmbeddedServer({ dataDir: join(folder, 'data') })
  try {
    const client = new pg.Client({ ...server.account, database: 'tenants2fast' })
    await client.connect()
    await client.query(oldLedger)
    await client.end()
  } finally {
    await server.stop()
  }

  const refused = embedded('data')
  expect(await refused.ended).toBe(1)
  const path = join(await realpath(folder), 'data')
  expect(refused.stderr).toContain(`The data in ${path} is from before the first release of tenants2fast.`)
  expect(refused.stderr).toContain("TENANT_DATA_DIR='data-2' npm start")
  expect(refused.stderr).toContain(`rm -r '${path}' && npm start`)
  expect(refused.stderr).not.toMatch(/^\s+at /m)

  await stop(embedded('data-2'))
  expect(describeFreshStart({ server: undefined, dataDir: join(folder, 'data'), catalogDatabase: '' })).toContain(
    'data-3',
  )
})
