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
/** An id that is not in /etc/passwd, as containers have. */
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
  // No server outlives its test.
  const pid = Number((await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0])
  if (pid > 1 && processIdentity(pid)) process.kill(pid, 'SIGKILL')
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5 })
})

async function makeFolder(): Promise<string> {
  return realpath(await mkdtemp(join(tmpdir(), 't2f-embedded-')))
}

/** Fills the data folder as an earlier start leaves it: initdb takes most of the time of a start. */
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

describe('One process', () => {
  test('The embedded server listens on loopback only, with SCRAM and a password of its own', async () => {
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

  test('After a stop of the embedded server no process is left, and a second start finds the data', async () => {
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

  test('A second stop of the embedded server changes nothing', async () => {
    fillDataDir()
    const server = await start()
    await Promise.all([server.stop(), server.stop()])
    await server.stop()
    expect(processIdentity(server.pid)).toBeUndefined()
  })

  test('Stopping the embedded server does not wait for its clients', async () => {
    fillDataDir()
    const server = await start()
    const client = new pg.Client({ ...server.account, ssl: false })
    client.on('error', () => {})
    await client.connect()
    await server.stop()
    expect(processIdentity(server.pid)).toBeUndefined()
    await client.end().catch(() => {})
  })

  test('Two starts in one process share one embedded server, which runs until the last of them stops', async () => {
    const [one, other] = await Promise.all([start(), start()])
    expect(one.pid).toBe(other.pid)
    expect(one.adopted).not.toBe(other.adopted)
    await one.stop()
    expect(await query(other.account, 'select 1 as one')).toEqual([{ one: 1 }])
    await other.stop()
    expect(processIdentity(other.pid)).toBeUndefined()
  })

  test('After a kill -9 of the embedded server the next start recovers the data', async () => {
    fillDataDir()
    const first = await start({ settings: {} })
    await query(first.account, 'create table kept as select 42 as answer')
    process.kill(first.pid, 'SIGKILL')
    await first.stop()
    const second = await start({ settings: {} })
    expect(second.adopted).toBe(false)
    expect(await query(second.account, 'select answer from kept')).toEqual([{ answer: 42 }])
  })

  test('Settings reach the embedded server, and none of them can open its address or socket', async () => {
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

  testWith(linux, 'The embedded server gets none of the application’s environment variables', async () => {
    process.env['TENANT_SECRET'] = 'do-not-pass-on'
    onTestFinished(() => {
      delete process.env['TENANT_SECRET']
    })
    fillDataDir()
    const { pid } = await start()
    expect(await readFile(`/proc/${pid}/environ`, 'utf8')).not.toContain('do-not-pass-on')
  })

  testWith(linux, 'After a crash the embedded server synchronizes whole file systems', async () => {
    fillDataDir()
    const { account } = await start()
    expect(await query(account, 'show recovery_init_sync_method')).toEqual([{ recovery_init_sync_method: 'syncfs' }])
  })

  test('Stopping the embedded server works although its data folder was removed', async () => {
    fillDataDir()
    const server = await start()
    // The server continues to write meanwhile.
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
    await server.stop()
    expect(processIdentity(server.pid)).toBeUndefined()
  })

  test('With a long path of the data folder, the embedded server puts its socket elsewhere', async () => {
    const long = join(dataDir, 'x'.repeat(120))
    const server = await start({ dataDir: long })
    const [row] = await query(server.account, "select current_setting('unix_socket_directories') as folder")
    expect(String(row?.['folder'])).toMatch(/^\/tmp\/t2f-/)
    await server.stop()
    expect(existsSync(String(row?.['folder']))).toBe(false)
  })
})

describe('Damaged data folders', () => {
  test('A start removes what an interrupted initdb left', async () => {
    await mkdir(join(dataDir, 'draft-0123456789ab/data/base'), { recursive: true })
    await writeFile(join(dataDir, 'draft-0123456789ab/password'), 'x')
    await start()
    expect((await readdir(dataDir)).filter((name) => name.startsWith('draft-'))).toEqual([])
  })

  test('The embedded server leaves no password file of initdb beside the data', async () => {
    const { account } = await start()
    const files = await readdir(dataDir, { recursive: true })
    expect(files.filter((name) => /password/.test(name))).toEqual([])
    expect(await readFile(join(dataDir, 'postgres.log'), 'utf8')).not.toContain(account.password)
  })

  test('An empty postgres folder in the data folder is initialized', async () => {
    await mkdir(join(dataDir, 'postgres'))
    await start()
    expect(await readdir(join(dataDir, 'postgres'))).toContain('PG_VERSION')
  })

  test('An incomplete PostgreSQL data folder is refused and not changed', async () => {
    await mkdir(join(dataDir, 'postgres'))
    await writeFile(join(dataDir, 'postgres/precious.txt'), 'mine')
    await expect(start()).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('not a complete PostgreSQL data folder'),
    })
    expect(await readdir(join(dataDir, 'postgres'))).toEqual(['precious.txt'])
  })

  test('A data folder of another PostgreSQL version is refused with that version', async () => {
    await mkdir(join(dataDir, 'postgres'))
    await writeFile(join(dataDir, 'postgres/PG_VERSION'), '15\n')
    await expect(start()).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('made by PostgreSQL 15'),
    })
  })

  test('Corrupted data fails the start with the end of the log, without the password, and leaves no process', async () => {
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

  test('A setting that does not exist fails the start with its name', async () => {
    fillDataDir()
    await expect(start({ settings: { no_such_setting: 'x' } })).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('no_such_setting'),
    })
  })

  test('A data folder that others may write is refused', async () => {
    fillDataDir()
    await chmod(join(dataDir, 'postgres'), 0o777)
    await expect(start()).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
      message: expect.stringContaining('invalid permissions'),
    })
  })

  test('The embedded server’s password file is closed to other users', async () => {
    fillDataDir()
    await chmod(join(dataDir, 'secret'), 0o644)
    await start()
    expect((await stat(join(dataDir, 'secret'))).mode & 0o777).toBe(0o600)
  })

  test('A data folder without its password file, or with another password, is refused', async () => {
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

  test('A postmaster.pid that names an unrelated process is ignored, and that process is not ended', async () => {
    fillDataDir()
    const content = [process.pid, join(dataDir, 'postgres'), 1, 5432, '', '127.0.0.1', '', 'ready'].join('\n')
    await writeFile(join(dataDir, 'postgres/postmaster.pid'), content)
    const { adopted } = await start()
    expect(adopted).toBe(false)
  })

  test('A data folder whose path is a file fails the start with a code', async () => {
    await writeFile(join(dataDir, 'file'), '')
    await expect(start({ dataDir: join(dataDir, 'file') })).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_START_FAILED',
    })
  })
})

describe('Several processes', () => {
  let processes: EmbeddedProcesses
  beforeAll(() => {
    processes = new EmbeddedProcesses()
  })
  afterAll(() => processes.close())

  test('Two processes that start at once share one embedded server, and the last one to stop stops it', async () => {
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

  test('After a kill -9 of the owning process the next start adopts its embedded server, and stops it in the end', async () => {
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

  test('An embedded server that was left running and hangs is stopped and replaced', { timeout: 120_000 }, async () => {
    fillDataDir()
    const { child, answer } = processes.start(dataDir)
    const { pid, account } = await answer
    child.kill('SIGKILL')
    await once(child, 'exit')
    // A server with a wrong port in postmaster.pid can't be connected to.
    const path = join(dataDir, 'postgres/postmaster.pid')
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace(String(account.port), '1'))
    const next = await start()
    expect(next.adopted).toBe(false)
    expect(processIdentity(pid)).toBeUndefined()
  })

  test('A process that exits without a stop ends its embedded server', async () => {
    fillDataDir()
    const { child, answer } = processes.start(dataDir)
    const { pid } = await answer
    child.send('exit')
    await once(child, 'exit')
    await gone(pid)
    expect(await readdir(join(dataDir, 'users'))).toEqual([])
  })

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'A process that is ended by %s ends its embedded server',
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

  test('A process that exits does not end an embedded server that other processes use', async () => {
    fillDataDir()
    const { child, answer } = processes.start(dataDir)
    const { pid } = await answer
    const mine = await start()
    child.send('exit')
    await once(child, 'exit')
    expect(mine.pid).toBe(pid)
    expect(await query(mine.account, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('A process that is killed while it starts the embedded server does not prevent the next start', async () => {
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

  describeWith(root, 'As an ordinary user', () => {
    test('Started by an ordinary user, the embedded server runs as that user', async () => {
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
    testWith(userNamespaces, 'A user without a name can run the embedded server', async () => {
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

    test('A data folder that the user may not write fails the start with a code and names the folder', async () => {
      await chmod(dataDir, 0o755)
      const { answer } = processes.start(dataDir, nobody)
      expect(await answer).toMatchObject({
        code: 'TENANCY_EMBEDDED_START_FAILED',
        message: expect.stringContaining(dataDir),
      })
    })
  })
})

describeWith(root, 'As root', () => {
  test('Started by root, the embedded server runs as another user that owns its files', async () => {
    const { pid } = await start()
    const { uid } = await stat(join(dataDir, 'postgres'))
    expect(uid).not.toBe(0)
    if (process.platform === 'linux') expect((await stat(`/proc/${pid}`)).uid).toBe(uid)
    expect((await stat(join(dataDir, 'secret'))).uid).toBe(0)
  })

  test('Started by root, the embedded server takes over a data folder that belongs to another user', async () => {
    fillDataDir()
    const { uid } = await stat(join(dataDir, 'postgres'))
    for (const name of ['', ...(await readdir(join(dataDir, 'postgres'), { recursive: true }))]) {
      await chown(join(dataDir, 'postgres', name), 12_345, 12_345)
    }
    await start()
    expect((await stat(join(dataDir, 'postgres'))).uid).toBe(uid)
    expect((await stat(join(dataDir, 'postgres/global/pg_control'))).uid).toBe(uid)
  })

  test('Started by root, the embedded server works with a data folder below a closed home', async () => {
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
