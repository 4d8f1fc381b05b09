import type { AnyCommand } from '../command.js'
import { activity } from './activity.js'
import { list } from './list.js'
import { reconcile } from './reconcile.js'
import { shell } from './shell.js'

export const commands: readonly AnyCommand[] = [shell, list, reconcile, activity]
