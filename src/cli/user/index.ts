import type { AnyCommand } from '../command.js'
import { createUser } from './create.js'
import { disableUser } from './disable.js'
import { enableUser } from './enable.js'
import { listUsers } from './list.js'
import { issueToken } from './token.js'

export const commands: readonly AnyCommand[] = [createUser, listUsers, disableUser, enableUser, issueToken]
