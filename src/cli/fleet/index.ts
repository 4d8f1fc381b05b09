import type { AnyCommand } from '../command.js'
import { checkFleet } from './check.js'
import { execOnFleet } from './exec.js'
import { seedFleet } from './seed.js'

export const commands: readonly AnyCommand[] = [checkFleet, seedFleet, execOnFleet]
