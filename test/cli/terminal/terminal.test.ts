import { access, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Tenancy } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { runCommandLine } from '../../support/processes/command-line.js'
import { startInTerminal } from '../../support/processes/pseudo-terminal.js'

const enter = '\r'
const ctrlC = '\x03'
const down = '\x1B[B'
// oxlint-disable-next-line no-control-regex
const colour = /\u001B\[\d+(?:;\d+)*m/

let installation: Installation
let tenancy: Tenancy
let folder: string

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-terminal-'))
  return () => rm(folder, { recursive: true })
})
afterAll(() => installation.drop())

const here = (env: Readonly<Record<string, string>> = {}) => ({ cwd: folder, env: { ...installation.env, ...env } })

async function createTenant(slug: string): Promise<void> {
  const owner = await tenancy.createUser({ email: `${slug}@example.com`, name: 'O', emailVerified: true })
  await tenancy.createTenant({ slug, name: slug, owner: owner.id })
}

describe('the questions of init', () => {
  test('Enter takes the defaults', async () => {
    const terminal = startInTerminal(['init', 'app'], { cwd: folder })
    await terminal.shows('Which PostgreSQL?')
    terminal.type(enter)
    await terminal.shows('Write a starter application')
    terminal.type(enter)
    await terminal.shows('npm install')
    expect(await terminal.ended).toBe(0)
    await access(join(folder, 'app/package.json'))
  })

  test('an address with a password is not shown, and goes to .env', async () => {
    const terminal = startInTerminal(['init', 'app'], { cwd: folder })
    await terminal.shows('Which PostgreSQL?')
    terminal.type(down)
    terminal.type(enter)
    await terminal.shows('Its address')
    terminal.type('mysql://x' + enter)
    await terminal.shows('It starts with postgres://')
    terminal.type('\x7F'.repeat(9) + 'postgres://u:hidden-word@h:5432/postgres' + enter)
    await terminal.shows('Write a starter application')
    terminal.type('n')
    expect(await terminal.ended).toBe(0)
    expect(terminal.raw).not.toContain('hidden-word')
    expect(await readFile(join(folder, 'app/.env'), 'utf8')).toContain('postgres://u:hidden-word@h:5432/postgres')
    expect(await readdir(join(folder, 'app'))).not.toContain('package.json')
  })

  test('Ctrl-C at a question writes nothing', async () => {
    const terminal = startInTerminal(['init', 'app'], { cwd: folder })
    await terminal.shows('Which PostgreSQL?')
    terminal.type(ctrlC)
    expect(await terminal.ended).toBe(130)
    expect(terminal.text).toContain('nothing was written')
    expect(await readdir(folder)).toEqual([])
  })
})

describe('colours', () => {
  test('are there on a terminal, and not with NO_COLOR, with TERM=dumb or into a pipe', async () => {
    const args = ['doctor', '--only', 'node']
    const shown = startInTerminal(args, here())
    await shown.ended
    expect(shown.raw).toMatch(colour)
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      const plain = startInTerminal(args, here(env))
      await plain.ended
      expect(plain.text).toContain('Node')
      expect(plain.raw).not.toMatch(colour)
    }
    const { stdout } = await runCommandLine(args, here({ FORCE_COLOR: '1' }))
    expect(stdout).not.toMatch(colour)
  })
})

describe('a confirmation', () => {
  test('by the slug, typed right and typed wrong', async () => {
    await createTenant('one-to-go')
    const wrong = startInTerminal(['tenant', 'delete', 'one-to-go'], here())
    await wrong.shows('Type one-to-go to confirm')
    wrong.type('one-to' + enter)
    expect(await wrong.ended).toBe(4)
    expect((await tenancy.getTenant('one-to-go')).status).toBe('active')

    const right = startInTerminal(['tenant', 'delete', 'one-to-go'], here())
    await right.shows('Type one-to-go to confirm')
    right.type('one-to-go' + enter)
    expect(await right.ended).toBe(0)
    expect((await tenancy.getTenant('one-to-go')).status).toBe('deleted')
  })

  test('Ctrl-C changes nothing', async () => {
    await createTenant('one-to-stay')
    const terminal = startInTerminal(['tenant', 'delete', 'one-to-stay'], here())
    await terminal.shows('Type one-to-stay to confirm')
    terminal.type(ctrlC)
    expect(await terminal.ended).toBe(130)
    expect((await tenancy.getTenant('one-to-stay')).status).toBe('active')
  })

  test('a terminal that goes away changes nothing, and ends the program as Ctrl-C does', async () => {
    await createTenant('one-to-keep')
    const terminal = startInTerminal(['tenant', 'delete', 'one-to-keep'], here())
    await terminal.shows('Type one-to-keep to confirm')
    expect(await terminal.hangUp()).toEqual({ code: 130, signal: 0 })
    expect((await tenancy.getTenant('one-to-keep')).status).toBe('active')
  })

  test('SIGTERM at the question ends it', async () => {
    await createTenant('one-to-term')
    const terminal = startInTerminal(['tenant', 'delete', 'one-to-term'], here())
    await terminal.shows('Type one-to-term to confirm')
    terminal.kill('SIGTERM')
    expect(await terminal.ended).toBe(130)
    expect((await tenancy.getTenant('one-to-term')).status).toBe('active')
  })

  test('into a pipe nobody is asked, and nothing is done', async () => {
    await createTenant('one-in-a-pipe')
    const { code, stderr } = await runCommandLine(['tenant', 'delete', 'one-in-a-pipe'], here())
    expect(code).toBe(4)
    expect(stderr).toContain('--yes')
    expect((await tenancy.getTenant('one-in-a-pipe')).status).toBe('active')
  })
})
