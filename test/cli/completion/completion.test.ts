import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommandLine } from '../../support/processes/command-line.js'
import { startProgram } from '../../support/processes/pseudo-terminal.js'
import { describeWith } from '../../support/requirements.js'
import { installed } from '../../support/installed-program.js'

const run = promisify(execFile)
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-completion-'))
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await runCommandLine(['completion', shell])
    expect(code).toBe(0)
    await writeFile(join(folder, shell), stdout)
  }
  await writeFile(join(folder, 'a file.ts'), '')
})

afterAll(() => rm(folder, { recursive: true }))

test('another shell is refused, and named', async () => {
  const { code, stderr } = await runCommandLine(['completion', 'tcsh'])
  expect(code).toBe(2)
  expect(stderr).toContain('bash, zsh, fish')
})

describeWith(installed('bash'), 'bash', () => {
  /** What bash would offer for these words, the last of which is being typed. */
  async function offers(...words: string[]): Promise<string[]> {
    const script = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tenants2fast; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout } = await run('bash', ['-c', script, join(folder, 'bash'), 'tenants2fast', ...words], {
      cwd: folder,
    })
    return stdout.split('\n').filter((line) => line !== '')
  }

  test('the first word', async () => {
    expect(await offers('')).toEqual(expect.arrayContaining(['tenant', 'migrate', 'doctor', 'completion']))
    expect(await offers('doc')).toEqual(['doctor'])
  })

  test('commands of a group, and their options', async () => {
    expect(await offers('db', '')).toEqual(['shell', 'list', 'reconcile', 'activity'])
    expect(await offers('db', 'list', '--st')).toEqual(['--state'])
    expect(await offers('doctor', '--')).toEqual(expect.arrayContaining(['--deep', '--fix', '--json', '--help']))
  })

  test('words that an option or argument takes', async () => {
    expect(await offers('db', 'list', '--state', 're')).toEqual(['ready', 'retired'])
    expect(await offers('completion', '')).toEqual(['bash', 'zsh', 'fish'])
  })

  test('the value of an option is no command, and free text is not completed', async () => {
    expect(await offers('--config', 'tenant', 'db', 'sh')).toEqual(['shell'])
    expect(await offers('db', 'list', '--limit', '')).toEqual([])
  })

  test('files, also with spaces in their names', async () => {
    expect(await offers('doctor', '--config', 'a')).toEqual(['a file.ts'])
  })

  test('the tab key completes in a terminal', async () => {
    const terminal = startProgram('bash', ['--norc', '--noprofile', '-i'], { cwd: folder, env: { PS1: '> ' } })
    await terminal.shows('> ')
    terminal.type('source ./bash && echo sour""ced\r')
    await terminal.shows('sourced')
    terminal.type('tenants2fast doc\t')
    await terminal.shows('tenants2fast doctor ')
    terminal.type('\x15exit\r')
    expect(await terminal.ended).toBeGreaterThanOrEqual(0)
  })
})

describeWith(installed('zsh'), 'zsh', () => {
  test('the tab key completes in a terminal', async () => {
    const terminal = startProgram('zsh', ['-f', '-i'], { cwd: folder, env: { PS1: '> ', ZDOTDIR: folder } })
    await terminal.shows('> ')
    terminal.type('autoload -Uz compinit && compinit -u -d ./dump && source ./zsh && echo sour""ced\r')
    await terminal.shows('sourced')
    terminal.type('tenants2fast doc\t')
    await terminal.shows('tenants2fast doctor')
    terminal.type('\x15tenants2fast db list --sta\t')
    await terminal.shows('tenants2fast db list --state')
    terminal.type('\x15exit\r')
    expect(await terminal.ended).toBeGreaterThanOrEqual(0)
  })
})

describeWith(installed('fish'), 'fish', () => {
  async function offers(line: string): Promise<string[]> {
    const { stdout } = await run(
      'fish',
      ['--no-config', '-c', `source ${join(folder, 'fish')}; complete -C '${line}'`],
      { cwd: folder },
    )
    return stdout.split('\n').flatMap((text) => (text === '' ? [] : [text.split('\t')[0] ?? '']))
  }

  test('commands, options and words', async () => {
    expect(await offers('tenants2fast doc')).toEqual(['doctor'])
    expect(await offers('tenants2fast db ')).toEqual(expect.arrayContaining(['shell', 'list', 'reconcile', 'activity']))
    expect(await offers('tenants2fast db list --sta')).toEqual(['--state'])
    expect(await offers('tenants2fast db list --state re')).toEqual(['ready', 'retired'])
    expect(await offers('tenants2fast --config tenant db sh')).toEqual(['shell'])
  })
})

describe('every command', () => {
  test('of every group is in each script', async () => {
    const { groups } = await import('../../../src/cli/groups.js')
    const { stdout } = await runCommandLine(['completion', 'bash'])
    for (const { name, load, isCommand } of groups) {
      const { commands } = await load()
      for (const command of commands)
        expect(stdout).toContain(isCommand === true ? `'/${name}')` : `'/${name}/${command.name}')`)
    }
  })
})
