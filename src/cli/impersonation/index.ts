import type { AnyCommand } from '../command.js'
import { endImpersonation } from './end.js'
import { listImpersonations } from './list.js'

export const commands: readonly AnyCommand[] = [listImpersonations, endImpersonation]
