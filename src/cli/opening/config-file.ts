import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { isTenancyError } from '../../core/errors/errors.js'
import type { CreateTenancyOptions } from '../../tenancy.js'
import { CliError } from '../cli-error.js'

/** Names that are looked for in the working directory, the first one that exists counts. */
export const configFileNames = ['tenants2fast.config.ts', 'tenants2fast.config.js', 'tenants2fast.config.mjs'] as const

/** Finds the application's file: the one that was named, else one in the working directory; undefined: there is none. */
export function findConfigFile(given: string | undefined): string | undefined {
  if (given === undefined) return configFileNames.map((name) => resolve(name)).find((path) => existsSync(path))
  const path = resolve(given)
  if (!existsSync(path)) throw new CliError('CLI_CONFIG_INVALID', `There is no file ${path}`)
  return path
}

/**
 * Loads the options of `createTenancy()` that the application's file exports as its default: an object, or a function that
 * gives one. TypeScript is loaded through jiti, which Node 20 needs; it checks no types.
 *
 * @throws {@link CliError} CLI_CONFIG_INVALID
 */
export async function loadConfigFile(path: string): Promise<CreateTenancyOptions> {
  const options: unknown = await evaluate(path).catch((error: unknown) => {
    // A file that calls loadConfig() has its settings' problems named as ever.
    if (isTenancyError(error)) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new CliError('CLI_CONFIG_INVALID', `${path} cannot be loaded: ${reason}`, { cause: error })
  })
  if (typeof options === 'object' && options !== null) return options
  throw new CliError('CLI_CONFIG_INVALID', `${path} must export the options of createTenancy() as its default`)
}

async function evaluate(path: string): Promise<unknown> {
  const { createJiti } = await import('jiti')
  // JavaScript is loaded by Node itself, so that modules are the same as the application's.
  const loaded: unknown = await createJiti(import.meta.url, { tryNative: !/\.[cm]?ts$/.test(path) }).import(path, {
    default: true,
  })
  return typeof loaded === 'function' ? await loaded() : loaded
}
