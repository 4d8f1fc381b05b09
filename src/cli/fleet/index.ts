import type { AnyCommand } from '../command.js'
import { checkFleet } from './check.js'

export const commands: readonly AnyCommand[] = [checkFleet]
