import { readEnvironment } from '../../core/config/load-config.js'
import { CliError } from '../cli-error.js'
import type { CommandContext } from '../context.js'
import { createPage } from '../output/page.js'
import { checks } from './checks/index.js'
import { createDoctorContext } from './context.js'
import { secretHider } from './hide-secrets.js'
import { renderResult } from './render.js'
import { type Diagnosis, runChecks } from './run-checks.js'

/** What the command line asks for. */
export interface DiagnoseOptions {
  readonly isDeep: boolean
  readonly fix: boolean
  /** Names of checks; undefined: all. */
  readonly only: readonly string[] | undefined
}

/** Runs the checks, and shows each result as soon as it is there. */
export async function diagnose(command: CommandContext, { isDeep, fix, only }: DiagnoseOptions): Promise<Diagnosis> {
  const unknown = only?.filter((name) => !checks.some((check) => check.name === name)) ?? []
  if (unknown.length > 0) {
    const names = checks.map(({ name }) => name).join(', ')
    throw new CliError('CLI_USAGE', `There is no check ${unknown.join(', ')}; there are ${names}`)
  }
  const env = readEnvironment()
  let application: Awaited<ReturnType<typeof command.application>> = {}
  let applicationError: unknown
  try {
    application = await command.application()
  } catch (error) {
    // A result like others: the file is looked at by a check.
    applicationError = error
  }
  const context = createDoctorContext({
    folder: process.cwd(),
    env,
    application,
    applicationError,
    isDeep,
    openTenancy: async () => (await command.open('migrate')).tenancy,
  })
  try {
    const chosen = checks.filter(({ name }) => only === undefined || only.includes(name))
    let shown = Promise.resolve()
    const diagnosis = await runChecks(chosen, context, {
      fix,
      hide: secretHider(env),
      signal: command.signal,
      onResult(result) {
        if (command.isJson) return
        const { page, text } = createPage(command.output)
        renderResult(result, page)
        shown = shown.then(() => command.print(text()))
      },
    })
    await shown
    return diagnosis
  } finally {
    await context.close()
  }
}
