import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { ServerAccount } from '../../../src/core/tenants/database-target.js'
import {
  type EmbeddedServer,
  type EmbeddedServerOptions,
  startEmbeddedServer,
} from '../../../src/databases/embedded/index.js'
import { findRunningServer } from '../../../src/databases/embedded/postmaster-pid.js'
import { processIdentity } from '../../../src/databases/embedded/process-identity.js'
import { EmbeddedProcesses } from '../../support/processes/embedded-processes.js'
import { describeWith, linux, root, testWith } from '../../support/requirements.js'
import { silentLogger } from '../../support/silent-logger.js'

const nobody = { uid: 65_534, gid: 65_534 }
/** An id that /etc/passwd does not know, as containers are run. */
const nameless = { uid: 23_456, gid: 23_456 }

let dataDir: string
let servers: EmbeddedServer[]
/** A data folder that a server has run in. */
let usedDir: string

beforeAll(async () => {
  usedDir = await makeFolder()
  const server = await startEmbeddedServer({ dataDir: usedDir, logger: silentLogger, settings: { fsync: 'off' } })
  await server.stop()
})
afterAll(() => rm(usedDir, { recursive: true, force: true }))

beforeEach(async () => {
  servers = []
  dataDir = await makeFolder()
})

afterEach(async () => {
  await Promise.all(servers.map((server) => server.stop()))
  // Whatever a test did, no server survives it.
  const pid = Number((await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0])
  if (pid > 1 && processIdentity(pid)) process.kill(pid, 'SIGKILL')
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5 })
})

async function makeFolder(): Promise<string> {
  return realpath(await mkdtemp(join(tmpdir(), 't2f-embedded-')))
}

/** Fills the data folder as an earlier start leaves it: to make it anew is most of the time that a start takes. */
function fillDataDir(): void {
  execFileSync('cp', ['-a', `${usedDir}/.`, dataDir])
}

async function start(options: Partial<EmbeddedServerOptions> = {}): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ dataDir, logger: silentLogger, settings: { fsync: 'off' }, ...options })
  servers.push(server)
  return server
}

async function query(account: ServerAccount, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ ...account, ssl: false })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

async function gone(pid: number): Promise<void> {
  while (processIdentity(pid) !== undefined) await sleep(10)
}

describe('one process', () => {
  test('a started server answers on loopback only, with SCRAM and a secret of its own', async () => {
    const { account, adopted } = await start()
    expect(adopted).toBe(false)
    expect(account).toMatchObject({ host: '127.0.0.1', user: 'postgres', database: 'postgres' })
    const [row] = await query(
      account,
      `select current_setting('listen_addresses') as addresses,
      current_setting('password_encryption') as encryption, current_setting('unix_socket_permissions') as socket,
      (select string_agg(distinct auth_method, ',') from pg_hba_file_rules) as methods`,
    )
    expect(row).toEqual({
      addresses: '127.0.0.1',
      encryption: 'scram-sha-256',
      socket: '0700',
      methods: 'scram-sha-256',
    })
    await expect(query({ ...account, password: 'postgres' }, 'select 1')).rejects.toMatchObject({ code: '28P01' })
    expect((await stat(join(dataDir, 'secret'))).mode & 0o777).toBe(0o600)
    expect((await stat(join(dataDir, 'run'))).mode & 0o777).toBe(0o700)
  })

  test('stop leaves no process, and a second start finds the data', async () => {
    fillDataDir()
    const first = await start()
    await query(first.account, 'create table kept as select 42 as answer')
    await first.stop()
    expect(processIdentity(first.pid)).toBeUndefined()
    expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false)
    const second = await start()
    expect(second.adopted).toBe(false)
    expect(await query(second.account, 'select answer from kept')).toEqual([{ answer: 42 }])
  })

  test('stop twice is stop once', async () => {
    fillDataDir()
    const server = await start()
    await Promise.all([server.stop(), server.stop()])
    await server.stop()
    expect(processIdentity(server.pid)).toBeUndefined()
  })

  test('stop does not wait for clients to leave', async () => {
    fillDataDir()
    const server = await start()
    const client = new pg.Client({ ...server.account, ssl: false })
    client.on('error', () => {})
    await client.connect()
    await server.stop()
    expect(processIdentity(server.pid)).toBeUndefined()
    await client.end().catch(() => {})
  })

  test('two starts at once share one server, which runs until the last of them stops', async () => {
    const [one, other] = await Promise.all([start(), start()])
    expect(one.pid).toBe(other.pid)
    expect(one.adopted).not.toBe(other.adopted)
    await one.stop()
    expect(await query(other.account, 'select 1 as one')).toEqual([{ one: 1 }])
    await other.stop()
    expect(processIdentity(other.pid)).toBeUndefined()
  })

  test('after a kill -9 of the server the next start recovers the data', async () => {
    fillDataDir()
    const first = await start({ settings: {} })
    await query(first.account, 'create table kept as select 42 as answer')
    process.kill(first.pid, 'SIGKILL')
    await first.stop()
    const second = await start({ settings: {} })
    expect(second.adopted).toBe(false)
    expect(await query(second.account, 'select answer from kept')).toEqual([{ answer: 42 }])
  })

  test('settings reach the server, and neither address nor socket can be opened by them', async () => {
    fillDataDir()
    const { account } = await start({
      settings: { max_connections: '33', listen_addresses: '*', unix_socket_permissions: '0777' },
    })
    const [row] = await query(
      account,
      `select current_setting('max_connections') as max,
      current_setting('listen_addresses') as addresses, current_setting('unix_socket_permissions') as socket`,
    )
    expect(row).toEqual({ max: '33', addresses: '127.0.0.1', socket: '0700' })
  })

  testWith(linux, 'the server sees nothing of the environment of the application', async () => {
    process.env['TENANT_SECRET'] = 'do-not-pass-on'
    onTestFinished(() => {
      delete process.env['TENANT_SECRET']
    })
    fillDataDir()
    const { pid } = await start()
    expect(await readFile(`/proc/${pid}/environ`, 'utf8')).not.toContain('do-not-pass-on')
  })

  testWith(linux, 'after a crash the files are synchronized all at once', async () => {
    fillDataDir()
    const { account } = await start()
    expect(await query(account, 'show recovery_init_sync_method')).toEqual([{ recovery_init_sync_method: 'syncfs' }])
  })

  test('a data folder that is removed under the running server does not stop stop', async () => {
    fillDataDir()
    const server = await start()
    // The server goes on writing meanwhile.
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
    await server.stop()
    expect(processIdentity(server.pid)).toBeUndefined()
  })

  test('a data folder with a long path works: its socket is put elsewhere', async () => {
    const long = join(dataDir, 'x'.repeat(120))
    const server = await start({ dataDir: long })
    const [row] = await query(server.account, "select current_setting('unix_socket_directories') as folder")
    expect(String(row?.['folder'])).toMatch(/^\/tmp\/t2f-/)
    await server.stop()
    expect(existsSync(String(row?.['folder']))).toBe(false)
  })
})

describe('what can be wrong with a data folder', () => {
  test('what an interrupted initdb left is removed, and a start works', async () => {
    await mkdir(join(dataDir, 'draft-0123456789ab/data/base'), { recursive: true })
    await writeFile(join(dataDir, 'draft-0123456789ab/password'), 'x')
    await start()
    expect((await readdir(dataDir)).filter((name) => name.startsWith('draft-'))).toEqual([])
  })

  test('no password file is left beside the data', async () => {
    const { account } = await start()
    const files = await readdir(dataDir, { recursive: true })
    expect(files.filter((name) => /password/.test(name))).toEqual([])
    expect(await readFile(join(dataDir, 'postgres.log'), 'utf8')).not.toContain(account.password)
  })

  test('an empty postgres folder is filled', async () => {
    await mkdir(join(dataDir, 'postgres'))
    await start()
    expect(await readdir(join(dataDir, 'postgres'))).toContain('PG_VERSION')
  })

  test('a folder that is no complete data folder is refused and left as it is', async () => {
    await mkdir(join(dataDir, 'postgres'))
    await writeFile(join(dataDir, 'postgres/precious.txt'), 'mine')
    await expect(start()).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('not a complete PostgreSQL data folder'),
    })
    expect(await readdir(join(dataDir, 'postgres'))).toEqual(['precious.txt'])
  })

  test('a data folder of another PostgreSQL version is refused by its version', async () => {
    await mkdir(join(dataDir, 'postgres'))
    await writeFile(join(dataDir, 'postgres/PG_VERSION'), '15\n')
    await expect(start()).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('made by PostgreSQL 15'),
    })
  })

  test('corrupted data gives the end of the log in the error, without the secret, and leaves no process', async () => {
    fillDataDir()
    const { stop, account } = await start()
    await stop()
    await writeFile(join(dataDir, 'postgres/global/pg_control'), 'garbage')
    const error = await start().catch((problem: unknown) => problem)
    expect(error).toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringMatching(/FATAL|PANIC/),
    })
    expect(String(error)).not.toContain(account.password)
    expect(await findRunningServer(join(dataDir, 'postgres'))).toBeUndefined()
    expect(await readdir(join(dataDir, 'users'))).toEqual([])
  })

  test('a setting that does not exist gives its name in the error', async () => {
    fillDataDir()
    await expect(start({ settings: { no_such_setting: 'x' } })).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('no_such_setting'),
    })
  })

  test('a data folder that others may write is refused', async () => {
    fillDataDir()
    await chmod(join(dataDir, 'postgres'), 0o777)
    await expect(start()).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('invalid permissions'),
    })
  })

  test('a secret file that others may read is closed to them', async () => {
    fillDataDir()
    await chmod(join(dataDir, 'secret'), 0o644)
    await start()
    expect((await stat(join(dataDir, 'secret'))).mode & 0o777).toBe(0o600)
  })

  test('data without its secret file is refused, and so is another secret', async () => {
    fillDataDir()
    await rm(join(dataDir, 'secret'))
    await expect(start()).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('secret'),
    })
    await writeFile(join(dataDir, 'secret'), 'another')
    await expect(start()).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('does not accept the password'),
    })
    expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false)
  })

  test('a postmaster.pid that names a process of somebody else is ignored, and that process lives on', async () => {
    fillDataDir()
    const content = [process.pid, join(dataDir, 'postgres'), 1, 5432, '', '127.0.0.1', '', 'ready'].join('\n')
    await writeFile(join(dataDir, 'postgres/postmaster.pid'), content)
    const { adopted } = await start()
    expect(adopted).toBe(false)
  })

  test('a data folder where a file is gives a coded error', async () => {
    await writeFile(join(dataDir, 'file'), '')
    await expect(start({ dataDir: join(dataDir, 'file') })).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
    })
  })
})

describe('several processes', () => {
  let processes: EmbeddedProcesses
  beforeAll(() => {
    processes = new EmbeddedProcesses()
  })
  afterAll(() => processes.close())

  test('two processes that start at once share one server, and the last to stop stops it', async () => {
    const [one, other] = [processes.start(dataDir), processes.start(dataDir)]
    const answers = await Promise.all([one.answer, other.answer])
    expect(answers[0].pid).toBe(answers[1].pid)
    expect(answers[0].adopted).not.toBe(answers[1].adopted)
    const [starter, joiner] = answers[0].adopted ? [other, one] : [one, other]
    await processes.stop(starter.child)
    expect(await query(answers[0].account, 'select 1 as one')).toEqual([{ one: 1 }])
    await processes.stop(joiner.child)
    expect(processIdentity(answers[0].pid)).toBeUndefined()
  })

  test('after a kill -9 of the owning process the next start adopts its server, and stops it in the end', async () => {
    fillDataDir()
    const { child, answer } = processes.start(dataDir)
    const { pid, account } = await answer
    await query(account, 'create table kept as select 42 as answer')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(processIdentity(pid)).toBeDefined()
    const next = await start()
    expect(next).toMatchObject({ adopted: true, pid })
    expect(await query(next.account, 'select answer from kept')).toEqual([{ answer: 42 }])
    await next.stop()
    expect(processIdentity(pid)).toBeUndefined()
  })

  test('a survivor that hangs is stopped and replaced', { timeout: 120_000 }, async () => {
    fillDataDir()
    const { child, answer } = processes.start(dataDir)
    const { pid, account } = await answer
    child.kill('SIGKILL')
    await once(child, 'exit')
    // Whoever holds the wrong port in postmaster.pid can't be connected to.
    const path = join(dataDir, 'postgres/postmaster.pid')
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace(String(account.port), '1'))
    const next = await start()
    expect(next.adopted).toBe(false)
    expect(processIdentity(pid)).toBeUndefined()
  })

  test('a process that exits without stop takes its server with it', async () => {
    fillDataDir()
    const { child, answer } = processes.start(dataDir)
    const { pid } = await answer
    child.send('exit')
    await once(child, 'exit')
    await gone(pid)
    expect(await readdir(join(dataDir, 'users'))).toEqual([])
  })

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'a process ended by %s takes its server with it',
    async (signal) => {
      fillDataDir()
      const { child, answer } = processes.start(dataDir)
      const { pid } = await answer
      child.kill(signal)
      const [code, endedBy] = await once(child, 'exit')
      expect([code, endedBy]).toEqual([null, signal])
      await gone(pid)
    },
  )

  test('a process that exits leaves the server to the others', async () => {
    fillDataDir()
    const { child, answer } = processes.start(dataDir)
    const { pid } = await answer
    const mine = await start()
    child.send('exit')
    await once(child, 'exit')
    expect(mine.pid).toBe(pid)
    expect(await query(mine.account, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('a process killed while it starts leaves nothing that stops the next start', async () => {
    for (const delayMs of [100, 250, 400, 600]) {
      const { child, answer } = processes.start(dataDir)
      void answer.catch(() => {})
      await sleep(delayMs)
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    const { account } = await start()
    expect(await query(account, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  describeWith(root, 'as an ordinary user', () => {
    test('the server runs as that user', async () => {
      await chown(dataDir, nobody.uid, nobody.gid)
      const { child, answer } = processes.start(dataDir, nobody)
      const { pid, account } = await answer
      expect((await stat(`/proc/${pid}`)).uid).toBe(nobody.uid)
      expect(await query(account, 'select 1 as one')).toEqual([{ one: 1 }])
      await processes.stop(child)
      expect(processIdentity(pid)).toBeUndefined()
    })

    // Docker's default profile, for one, forbids it.
    const userNamespaces = {
      isMet: spawnSync('/usr/bin/env', ['unshare', '-U', 'true'], nameless).status === 0,
      need: 'user namespaces: allow unshare -U',
    }
    testWith(userNamespaces, 'a user without a name works', async () => {
      await chown(dataDir, nameless.uid, nameless.gid)
      const first = processes.start(dataDir, nameless)
      const { pid, account } = await first.answer
      expect((await stat(`/proc/${pid}`)).uid).toBe(nameless.uid)
      await query(account, 'create table kept as select 42 as answer')
      expect((await stat(join(dataDir, 'postgres/PG_VERSION'))).uid).toBe(nameless.uid)
      await processes.stop(first.child)
      expect(processIdentity(pid)).toBeUndefined()
      const second = processes.start(dataDir, nameless)
      const again = await second.answer
      expect(await query(again.account, 'select answer from kept')).toEqual([{ answer: 42 }])
      await processes.stop(second.child)
      expect(processIdentity(again.pid)).toBeUndefined()
    })

    test('a data folder it may not write gives a coded error that names the folder', async () => {
      await chmod(dataDir, 0o755)
      const { answer } = processes.start(dataDir, nobody)
      expect(await answer).toMatchObject({
        code: 'TENANCY_EMBEDDED_START_FAILED',
        message: expect.stringContaining(dataDir),
      })
    })
  })
})

describeWith(root, 'as root', () => {
  test('the server runs as another user, and owns its files', async () => {
    const { pid } = await start()
    const { uid } = await stat(join(dataDir, 'postgres'))
    expect(uid).not.toBe(0)
    if (process.platform === 'linux') expect((await stat(`/proc/${pid}`)).uid).toBe(uid)
    expect((await stat(join(dataDir, 'secret'))).uid).toBe(0)
  })

  test('data that belongs to another user is given to the one that runs the server', async () => {
    fillDataDir()
    const { uid } = await stat(join(dataDir, 'postgres'))
    for (const name of ['', ...(await readdir(join(dataDir, 'postgres'), { recursive: true }))]) {
      await chown(join(dataDir, 'postgres', name), 12_345, 12_345)
    }
    await start()
    expect((await stat(join(dataDir, 'postgres'))).uid).toBe(uid)
    expect((await stat(join(dataDir, 'postgres/global/pg_control'))).uid).toBe(uid)
  })

  test('a data folder under a closed home works', async () => {
    await chmod(dataDir, 0o700)
    const inside = join(dataDir, 'project/.tenants2fast')
    const { account, stop } = await start({ dataDir: inside })
    await query(account, 'create table kept as select 42 as answer')
    const [row] = await query(account, "select current_setting('data_directory') as folder")
    await stop()
    const again = await start({ dataDir: inside })
    expect(await query(again.account, 'select answer from kept')).toEqual([{ answer: 42 }])
    await again.stop()
    if (!String(row?.['folder']).startsWith(dataDir))
      await rm(join(String(row?.['folder']), '..'), { recursive: true, force: true })
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700)
  })
})
