import type { OpenPurpose } from '../../composition/opening/opening.js'
import type { Config } from '../../core/config/config.js'
import type { CreateTenancyOptions } from '../../tenancy.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { createCliLogger } from './cli-logger.js'
import { findConfigFile, loadConfigFile } from './config-file.js'
import { operatorName } from './operator.js'
import { resolveUser } from './resolve-user.js'

/** What a command works with. Closed when the command ends. */
export interface Installation {
  readonly tenancy: Tenancy
  /** Id of the user whom `--actor` names; undefined: an operator of the installation. */
  readonly actor: string | undefined
}

/** How an installation is opened. */
export interface OpenOptions {
  readonly purpose: OpenPurpose
  /** `--config`. */
  readonly configFile: string | undefined
  /** `--actor`. */
  readonly actor: string | undefined
  readonly isVerbose: boolean
  /** Shows a line of the log. */
  readonly say: (text: string) => void
}

/** The options of the application's file; none where there is no file. @throws {@link CliError} CLI_CONFIG_INVALID */
export async function loadApplication(configFile: string | undefined): Promise<CreateTenancyOptions> {
  const file = findConfigFile(configFile)
  return file === undefined ? {} : loadConfigFile(file)
}

/** Reads the options of the application's file, if there is one; settings come from the environment unless it has them. */
export async function readOptions(
  configFile: string | undefined,
): Promise<CreateTenancyOptions & { readonly config: Config }> {
  const given = await loadApplication(configFile)
  if (given.config !== undefined) return { ...given, config: given.config }
  const { loadConfig } = await import('../../core/config/load-config.js')
  return { ...given, config: loadConfig() }
}

/**
 * Opens the installation that the environment, `.env` and the application's file describe. The names of the operating system's
 * user and host go into each entry of the audit log.
 */
export async function openInstallation(options: OpenOptions): Promise<Installation> {
  const given = await readOptions(options.configFile)
  // Loaded only now: help and mistakes on the command line need none of it.
  const { openTenancy } = await import('../../tenancy.js')
  const tenancy = await openTenancy(
    { ...given, logger: createCliLogger(options.isVerbose, options.say) },
    { purpose: options.purpose, operator: operatorName() },
  )
  try {
    const actor = options.actor === undefined ? undefined : await resolveUser(tenancy, options.actor)
    return { tenancy, actor }
  } catch (error) {
    await tenancy.close()
    throw error
  }
}
