import type { AnyCommand } from '../command.js'
import { rotateKeys } from './rotate.js'

export const commands: readonly AnyCommand[] = [rotateKeys]
