import type { AnyCommand } from '../command.js'
import { createTenant } from './create.js'
import { listTenants } from './list.js'
import { showTenant } from './show.js'

export const commands: readonly AnyCommand[] = [createTenant, listTenants, showTenant]
