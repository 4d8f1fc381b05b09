import type { AnyCommand } from '../command.js'
import { deleteExport } from './delete.js'
import { listExports } from './list.js'

export const commands: readonly AnyCommand[] = [listExports, deleteExport]
