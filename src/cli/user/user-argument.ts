import type { ArgumentDefinition } from '../command.js'

/** The user that a command is about. */
export const userArgument: ArgumentDefinition = { name: 'user', description: 'e-mail address or id of the user' }

/** Input of commands about one user. */
export interface UserInput {
  readonly user: string
}
