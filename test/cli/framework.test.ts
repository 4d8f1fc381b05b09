import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { optionsOf } from '../../src/cli/common-options.js'
import { groups } from '../../src/cli/groups.js'
import { repository, startNode } from '../support/processes/node-process.js'
import { program } from './installation-fixture.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-cli-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function run(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = startNode([program, ...words], { cwd: folder, env })
  return { code: await child.ended, stdout: child.stdout, stderr: child.stderr }
}

const commands = (
  await Promise.all(
    groups.map(async ({ name, load, isCommand }) =>
      (await load()).commands.map((command) => ({
        ...{ command, words: isCommand === true ? [name] : [name, command.name] },
      })),
    ),
  )
).flat()
const named = commands.map(({ words, command }) => [words.join(' '), command] as const)

describe('help', () => {
  test('the whole is listed with examples and exit codes', async () => {
    const { code, stdout, stderr } = await run(['--help'])
    expect([code, stderr]).toEqual([0, ''])
    for (const { name, summary } of groups) expect(stdout).toMatch(new RegExp(`\\n  ${name} +${summary}`))
    expect(stdout).toContain('Examples:\n')
    expect(stdout).toContain('130  interrupted (Ctrl-C)')
  })

  test('the version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string }
    for (const option of ['--version', '-V']) {
      expect(await run([option])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
    }
  })

  test('help of a command is the same by --help and by help', async () => {
    const byOption = await run(['tenant', 'delete', '--help'])
    expect(byOption).toMatchObject({ code: 0, stderr: '' })
    for (const part of ['Examples:', 'JSON:', 'Exit codes:', '--yes', '--actor', 'tenant undelete']) {
      expect(byOption.stdout).toContain(part)
    }
    expect(await run(['help', 'tenant', 'delete'])).toEqual(byOption)
    expect((await run(['help'])).stdout).toBe((await run(['--help'])).stdout)
  })

  test.each(named)('%s has a summary, examples of its own, and options of one form', (words, command) => {
    expect(command.summary).toMatch(/^[A-Z].*[^.]$/)
    expect(command.examples.length).toBeGreaterThan(0)
    for (const example of command.examples) expect(`${example.command} `).toContain(`${words} `)
    const flags = optionsOf(command).map((option) => option.flags)
    expect(new Set(flags.map((flag) => flag.split(' ')[0])).size).toBe(flags.length)
    for (const flag of flags) expect(flag).toMatch(/^--[a-z][a-z-]*( [A-Z|%]+)?$/)
  })

  test('help loads commander and definitions, and no part of the installation', () => {
    const dist = join(repository, 'dist')
    const entries = [program, ...readGroupModules()]
    const seen = new Set<string>()
    const packages = new Set<string>()
    const visit = (file: string) => {
      if (seen.has(file)) return
      seen.add(file)
      for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(
        /^(?:import|export)[^'"()]*from '([^']+)'|^import '([^']+)'/gm,
      )) {
        if (specifier.startsWith('.')) visit(join(dirname(file), specifier))
        else if (!specifier.startsWith('node:')) packages.add(specifier)
      }
    }
    for (const entry of entries) visit(entry)
    expect([...packages]).toEqual(['commander'])
    const allowed = ['cli', 'core/errors', 'core/uuid.js', 'core/text.js'].map((path) => join(dist, path))
    expect([...seen].filter((file) => !allowed.some((path) => file.startsWith(path)))).toEqual([])
    expect(seen.size).toBeGreaterThan(commands.length)
  })
})

/** The modules that `groups` imports when a group is asked for. */
function readGroupModules(): string[] {
  const text = readFileSync(join(repository, 'dist/cli/groups.js'), 'utf8')
  return [...text.matchAll(/import\('([^']+)'\)/g)].map(([, path = '']) => join(repository, 'dist/cli', path))
}

describe('mistakes on the command line', () => {
  test.each([
    [['tenannt'], "unknown command 'tenannt'", 'Did you mean tenant'],
    [['tenant', 'lst'], "unknown command 'lst'", 'Did you mean list'],
    [['tenant', 'list', '--jsn'], "unknown option '--jsn'", 'Did you mean --json'],
    [['tenant', 'list', 'more'], 'too many arguments', ''],
    [['tenant', 'list', '--limit', '1001'], 'must be a whole number from 1 to 1000', ''],
    [['tenant', 'show'], "missing required argument 'TENANT'", ''],
    [['migrate', 'up', '--canary'], 'argument missing', ''],
  ])('%j: %s', async (words, message, suggestion) => {
    const { code, stdout, stderr } = await run(words)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
    expect(stderr).toContain(suggestion)
    const { stderr: json, code: sameCode } = await run([...words, '--json'])
    expect([sameCode, JSON.parse(json)]).toEqual([
      2,
      { error: { code: 'CLI_USAGE', message: expect.any(String), fix: 'See --help', exitCode: 2 } },
    ])
  })

  test.each([[[]], [['tenant']]])('without a command, help is an error: %j', async (words) => {
    expect(await run(words)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Usage: ') })
  })
})

describe('configuration', () => {
  test('a bad setting is exit code 2, and no value of a secret is shown', async () => {
    const { code, stderr } = await run(['tenant', 'list'], {
      TENANT_SECRET: 'too-short-and-very-secret',
      TENANT_MAX_CONNECTIONS: 'many',
    })
    expect(code).toBe(2)
    expect(stderr).toContain('TENANT_MAX_CONNECTIONS')
    expect(stderr).not.toContain('too-short-and-very-secret')
  })

  test('a server that does not answer is exit code 5, without the password', async () => {
    const { code, stderr } = await run(['tenant', 'list'], {
      TENANT_DATABASE_URL: 'postgres://nobody:very-secret@127.0.0.1:1/postgres',
      TENANT_SECRET: 'ab'.repeat(32),
    })
    expect(code).toBe(5)
    expect(stderr).toContain('TENANCY_CATALOG_UNAVAILABLE')
    expect(stderr).not.toContain('very-secret')
  })

  test('the application’s file is found in the working directory, or named; .env counts', async () => {
    const mark = (name: string) => ({ schemaDir: `./${name}` })
    const made = async (...words: string[]) => (await run(['migrate', 'new', 'x', ...words])).stdout.trim()
    await writeFile(join(folder, '.env'), 'TENANT_SCHEMA_DIR=./by-env\n')
    expect(await made()).toContain('by-env')
    await writeFile(join(folder, 'tenants2fast.config.mjs'), `export default ${JSON.stringify(mark('by-mjs'))}`)
    expect(await made()).toContain('by-mjs')
    await writeFile(
      join(folder, 'tenants2fast.config.ts'),
      `const options: { schemaDir: string } = ${JSON.stringify(mark('by-ts'))}\nexport default async () => options`,
    )
    expect(await made()).toContain('by-ts')
    await writeFile(join(folder, 'other.mjs'), `export default ${JSON.stringify(mark('by-name'))}`)
    expect(await made('--config', 'other.mjs')).toContain('by-name')
    expect(existsSync(join(folder, 'by-ts/0001_x.sql'))).toBe(true)
  })

  test.each([
    ['missing.mjs', undefined, 'There is no file'],
    ['broken.ts', 'export default {', 'cannot be loaded'],
    ['number.mjs', 'export default 3', 'must export the options'],
    ['throws.mjs', 'export default () => { throw new Error("no such thing") }', 'no such thing'],
  ])('a file that cannot be used is exit code 2: %s', async (name, text, message) => {
    if (text !== undefined) await writeFile(join(folder, name), text)
    const { code, stderr } = await run(['migrate', 'new', 'y', '--config', name, '--json'])
    expect(code).toBe(2)
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'CLI_CONFIG_INVALID', message: expect.stringContaining(message) },
    })
  })
})
