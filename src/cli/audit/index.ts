import type { AnyCommand } from '../command.js'
import { listAudit } from './list.js'
import { verifyAudit } from './verify.js'

export const commands: readonly AnyCommand[] = [listAudit, verifyAudit]
