import { type NodeProcess, type NodeProcessOptions, repository, startNode } from './node-process.js'

/** How a command ended. */
export interface CommandResult {
  readonly code: unknown
  readonly stdout: string
  readonly stderr: string
}

/** Starts the command line of the built package, without a terminal. */
export function startCommand(args: readonly string[], options: NodeProcessOptions = {}): NodeProcess {
  return startNode([`${repository}dist/cli/main.js`, ...args], options)
}

/** Runs it to its end. */
export async function runCommandLine(
  args: readonly string[],
  options: NodeProcessOptions = {},
): Promise<CommandResult> {
  const child = startCommand(args, options)
  const code = await child.ended
  return { code, stdout: child.stdout, stderr: child.stderr }
}
