import type { CommandContext } from './context.js'
import type { ExitCode } from './exit-codes.js'
import type { Page } from './output/page.js'
import type { Shape } from './shapes.js'

/** A word of the command line that is no option. */
export interface ArgumentDefinition {
  /** As input calls it: `slug`. Help shows it in upper case. */
  readonly name: string
  readonly description: string
  /** Takes all further words, as a list. Default: false. */
  readonly isVariadic?: boolean
  /** May be left out. Default: false. */
  readonly isOptional?: boolean
  readonly parse?: (text: string) => unknown
}

/** An option. */
export interface OptionDefinition {
  /** `--name TEXT`, `--dry-run`. Input calls it in camel case: `dryRun`. */
  readonly flags: string
  readonly description: string
  /** Reads the value. Throws {@link CliError} CLI_USAGE for a bad one. Default: the text. */
  readonly parse?: (text: string) => unknown
  /** May be given more than once: input has a list. Default: false. */
  readonly isRepeatable?: boolean
  readonly isRequired?: boolean
}

/** One line of `--help` and docs/cli.md. */
export interface Example {
  /** Without the program's name: `tenant create acme --owner dana@example.com`. */
  readonly command: string
  readonly says: string
}

/**
 * One command: what it is called, takes, gives and does. A definition loads nothing but what help needs: what `run` needs is
 * imported when it runs.
 */
export interface CommandDefinition<Input extends object, Result> {
  /** Within its group: `create`. */
  readonly name: string
  /** One line, for lists. */
  readonly summary: string
  /** What else there is to know: what happens to data, and when it is gone. */
  readonly description?: string
  readonly arguments?: readonly ArgumentDefinition[]
  readonly options?: readonly OptionDefinition[]
  readonly examples: readonly Example[]
  /** What `--json` writes. */
  readonly json: Shape
  /** Exit codes besides 0, 1, 2, 5 and 130, which every command has. */
  readonly exitCodes?: readonly ExitCode[]
  /** Changes something: takes `--actor`. Default: false. */
  readonly isWriting?: boolean
  /** Destroys something: takes `--yes`, and asks without it. Default: false. */
  readonly isDestructive?: boolean
  /** Does the work. What it returns is what `--json` writes; undefined: it has written everything itself. */
  run(context: CommandContext, input: Input): Promise<Result>
  /** Writes the result for people. */
  render(result: Result, page: Page): void
  /** How the command ends when `run` has not thrown. Default: 0. */
  exitCode?(result: Result): ExitCode
}

/** A command of any input and result. */
export type AnyCommand = CommandDefinition<object, unknown>

/** Types a definition: gives it back as it is. */
export function defineCommand<Input extends object, Result>(
  definition: CommandDefinition<Input, Result>,
): CommandDefinition<Input, Result> {
  return definition
}

/** Commands with a common first word, or (with one definition, without a name) a command of one word. */
export interface GroupDefinition {
  readonly name: string
  readonly summary: string
  /** Imports the definitions when they are needed. */
  readonly load: () => Promise<{ readonly commands: readonly AnyCommand[] }>
  /** A command of one word: `load` gives one definition of the same name. Default: false. */
  readonly isCommand?: boolean
}
