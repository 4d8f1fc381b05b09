/** Exit codes of every command, with what they mean. Scripts rely on them: none changes its meaning. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  unavailable: 5,
  interrupted: 130,
} as const

/** How a command ends. */
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** For help and docs/cli.md. */
export const exitCodeMeanings: Readonly<Record<ExitCode, string>> = {
  0: 'done',
  1: 'failed, or failed for some of the tenants',
  2: 'the command line or the configuration is wrong; nothing was done',
  3: 'a tenant, user, role or file that was named does not exist',
  4: 'refused: not confirmed, a conflict, or not allowed; nothing was changed',
  5: 'the server or the catalog does not answer; try again',
  130: 'interrupted (Ctrl-C): the output says what is left',
}
