import { resolve } from 'node:path'
import { CliError } from '../cli-error.js'
import type { CommandContext } from '../context.js'
import { withCatalog } from '../db/open-catalog.js'
import { describeFailure } from '../report-failure.js'
import { applySchema } from './apply-schema.js'
import { issueDevToken } from './dev-token.js'
import { folderChanges } from './folder-changes.js'
import { listenToKeys } from './keys.js'

/** What the command line says. */
export interface DevInput {
  readonly token?: boolean
  readonly user?: string
}

/** What happened until Ctrl-C. */
export interface DevResult {
  /** How often the folder was applied. */
  readonly runs: number
  /** Runs in which a file or tenant failed. */
  readonly failures: number
}

/** Keeps the server and the tenants' schema ready until Ctrl-C. */
export function runDev(context: CommandContext, { token = false, user }: DevInput): Promise<DevResult> {
  return withCatalog(context, async ({ tenancy, account }) => {
    const { config, serverDescription } = tenancy
    if (config.isProduction) {
      throw new CliError('CLI_USAGE', 'dev is for development, and NODE_ENV is production: use tenants2fast migrate up')
    }
    const named = (await context.options()).schemaDir ?? config.schemaDir
    const folder = named === undefined ? undefined : resolve(named)
    context.say(`${serverDescription}, on ${account.host}:${account.port}; catalog ${config.catalogDatabase}`)
    context.say(folder === undefined ? 'TENANT_SCHEMA_DIR is not set: no schema to apply' : `Watching ${folder}`)

    const showToken = async () => {
      const issued = await issueDevToken(tenancy, user)
      const where = issued.tenants.length === 0 ? 'a member of no tenant' : `tenants: ${issued.tenants.join(', ')}`
      context.say(`A token for ${issued.email} (${where}), for ${issued.expiresIn / 60} minutes:`)
      await context.print(`${issued.token}\n`)
    }
    const result = { runs: 0, failures: 0 }
    const apply = async () => {
      result.runs += 1
      if (!(await applySchema(context, folder))) result.failures += 1
    }
    let askedFor: Promise<unknown> = Promise.resolve()
    const release = listenToKeys({
      t: () => {
        askedFor = askedFor
          .then(() => showToken())
          .catch((error: unknown) => context.say(`No token: ${describeFailure(error).message}`))
      },
    })
    try {
      if (folder === undefined) await apply()
      let isFirst = true
      for await (const _change of folder === undefined
        ? untilAborted(context.signal)
        : folderChanges(folder, context.signal)) {
        if (folder !== undefined) await apply()
        if (isFirst && token && !context.signal.aborted) await showToken()
        if (isFirst && !context.signal.aborted) context.say(hint())
        isFirst = false
      }
    } finally {
      release()
      await askedFor
    }
    return result
  })
}

/** Yields once, and ends when aborted. */
async function* untilAborted(signal: AbortSignal): AsyncGenerator<void> {
  yield
  // The timer keeps the process alive where nothing else does.
  const timer = setInterval(() => {}, 60_000)
  if (!signal.aborted) await new Promise((done) => signal.addEventListener('abort', done, { once: true }))
  clearInterval(timer)
}

function hint(): string {
  return process.stdin.isTTY ? 'Press t for a token, Ctrl-C to stop.' : 'Ctrl-C stops.'
}
