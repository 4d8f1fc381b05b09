import type { OpenPurpose } from '../composition/opening/opening.js'
import type { Config } from '../core/config/config.js'
import type { CreateTenancyOptions } from '../tenancy.js'
import type { Tenancy } from '../tenancy-interface.js'
import type { CommandPlace } from './completion/places.js'
import type { Installation } from './opening/open-installation.js'
import type { Progress } from './output/progress.js'
import type { Terminal } from './output/terminal.js'

/** What has to be confirmed before something is destroyed. */
export interface Confirmation {
  /** What a person has to type: a slug. */
  readonly typed: string
  /** What happens, and when data is gone. */
  readonly consequences: readonly string[]
}

/** What a command is given besides its input. */
export interface CommandContext {
  /**
   * Opens the installation. `administer`: the catalog, and no work in the background, which is enough for most commands;
   * `migrate`: also the template, which shows a bad schema folder before any tenant is touched. A second call gives the same.
   */
  open(purpose?: OpenPurpose): Promise<Installation>
  /** Reads the settings and the application's file without opening anything: for commands that need no server. */
  options(): Promise<CreateTenancyOptions & { readonly config: Config }>
  /** Opens the installation once more. The caller closes it. */
  openAnother(purpose: OpenPurpose): Promise<Tenancy>
  /** The options that the application's file names; none without a file. Opens nothing. */
  application(): Promise<CreateTenancyOptions>
  /** From now on Ctrl-C is for a program that was started here, such as psql, and not for this one. */
  leaveInterrupts(): void
  /** Aborted by Ctrl-C: stop at the next safe point and say what is left. */
  readonly signal: AbortSignal
  /** Whether `--json` was given. */
  readonly isJson: boolean
  /** Whether `--yes` was given. */
  readonly isConfirmed: boolean
  /** Every place of the command line, for completion. */
  places(): Promise<readonly CommandPlace[]>
  /** Standard output, and standard error. */
  readonly output: Terminal
  readonly messages: Terminal
  /**
   * Has a person confirm, unless `--yes` was given.
   * @throws {@link CliError} CLI_NOT_CONFIRMED: nobody can be asked, or they typed something else; CLI_INTERRUPTED
   */
  confirm(confirmation: Confirmation): Promise<void>
  /** Shows how far the work is: on a terminal only, on standard error. */
  progress(what: string): Promise<Progress>
  /** Says something to people, on standard error. Not with `--json`. */
  say(text: string): void
  /** Writes a part of the output now, to standard output: for a list that is too long to keep, or that goes on. */
  print(text: string): Promise<void>
}
