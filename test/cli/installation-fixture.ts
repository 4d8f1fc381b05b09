import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AnyCommand } from '../../src/cli/command.js'
import { groups } from '../../src/cli/groups.js'
import type { Tenancy, Tenant, User } from '../../src/index.js'
import { createInstallation, type Installation, type OpenOptions } from '../support/installation.js'
import { repository, startNode } from '../support/processes/node-process.js'
import { problemsOfShape } from './shape-check.js'

/** How a run of the program ended. */
export interface Run {
  readonly code: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

/** An installation that the built program works on. */
export interface CliInstallation {
  readonly installation: Installation
  /** What the tests themselves do in it. */
  readonly tenancy: Tenancy
  readonly owner: User
  /** An empty folder: the working directory of the program. */
  readonly folder: string
  /** Runs the program as a child process, without a terminal. */
  run(words: readonly string[], env?: Readonly<Record<string, string>>): Promise<Run>
  /** As `run`, for people: it has to succeed. */
  text(...words: readonly string[]): Promise<string>
  /** As `run` with `--json`: it has to succeed, with the shape that the command documents. */
  json<Value = Record<string, unknown>>(...words: readonly string[]): Promise<Value>
  /** As `run` with `--json`: it has to fail, with a failure as JSON. */
  failure(
    ...words: readonly string[]
  ): Promise<{ readonly code: string; readonly message: string; readonly exitCode: number }>
  createTenant(slug?: string): Promise<Tenant>
  drop(): Promise<void>
}

/** The program of the built package. */
export const program = join(repository, 'dist/cli/main.js')

/** Opens an installation on the server of this run, for one test file. */
export async function createCliInstallation(
  settings: Readonly<Record<string, string>> = {},
  options: OpenOptions = {},
): Promise<CliInstallation> {
  const installation = createInstallation(settings)
  const folder = await mkdtemp(join(tmpdir(), 't2f-cli-'))
  const tenancy = await installation.open(options)
  const owner = await tenancy.createUser({ email: 'dana@example.com', name: 'Dana', emailVerified: true })
  let count = 0

  const run: CliInstallation['run'] = async (words, env = {}) => {
    const child = startNode([program, ...words], { cwd: folder, env: { ...installation.env, ...env } })
    const code = await child.ended
    expectNoSecrets(child, installation, words)
    return { code, stdout: child.stdout, stderr: child.stderr }
  }
  const succeed = async (words: readonly string[]) => {
    const { code, stdout, stderr } = await run(words)
    if (code !== 0 || stderr !== '') throw new Error(`${words.join(' ')} ended with ${code}: ${stderr}`)
    return stdout
  }
  return {
    installation,
    tenancy,
    owner,
    folder,
    run,
    text: (...words) => succeed(words),
    async json<Value>(...words: readonly string[]) {
      const value: unknown = JSON.parse(await succeed([...words, '--json']))
      const problems = problemsOfShape((await commandOf(words)).json, value)
      if (problems.length > 0) throw new Error(`${words.join(' ')} writes another shape: ${problems.join('; ')}`)
      return value as Value
    },
    async failure(...words) {
      const { code, stdout, stderr } = await run([...words, '--json'])
      const lines = stderr.trimEnd().split('\n')
      const { error } = JSON.parse(lines.at(-1) ?? '') as { error: Awaited<ReturnType<CliInstallation['failure']>> }
      if (stdout !== '' || lines.length > 1) throw new Error(`more than a failure: ${stdout}${stderr}`)
      if (error.exitCode !== code) throw new Error(`it ended with ${code}, and says ${error.exitCode}`)
      return error
    },
    async createTenant(slug = `tenant-${(count += 1)}`) {
      return tenancy.createTenant({ name: `Name of ${slug}`, slug, owner: owner.id })
    },
    async drop() {
      await rm(folder, { recursive: true })
      await installation.drop()
    },
  }
}

/** The definition of the command that a command line names. */
async function commandOf(words: readonly string[]): Promise<AnyCommand> {
  const group = groups.find(({ name }) => name === words[0])
  const commands = (await group?.load())?.commands ?? []
  const command = group?.isCommand === true ? commands[0] : commands.find(({ name }) => name === words[1])
  if (command === undefined) throw new Error(`no such command: ${words.join(' ')}`)
  return command
}

/** The secret of the installation and the password of the server are in no output, whatever the command. */
function expectNoSecrets(
  { stdout, stderr }: { readonly stdout: string; readonly stderr: string },
  { env }: Installation,
  words: readonly string[],
): void {
  const password = decodeURIComponent(new URL(env['TENANT_DATABASE_URL'] ?? '').password)
  for (const secret of [env['TENANT_SECRET'], password]) {
    if (secret !== undefined && secret.length > 8 && `${stdout}${stderr}${words.join(' ')}`.includes(secret)) {
      throw new Error(`${words.join(' ')} shows a secret`)
    }
  }
}
