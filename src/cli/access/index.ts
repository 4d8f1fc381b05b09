import type { AnyCommand } from '../command.js'
import { explainAccess } from './explain.js'
import { listAccess } from './list.js'

export const commands: readonly AnyCommand[] = [explainAccess, listAccess]
