import type { AnyCommand } from '../command.js'
import { activateTenant } from './activate.js'
import { createTenant } from './create.js'
import { deleteTenant } from './delete.js'
import { listTenants } from './list.js'
import { purgeTenant } from './purge.js'
import { renameTenant } from './rename.js'
import { showTenant } from './show.js'
import { suspendTenant } from './suspend.js'
import { undeleteTenant } from './undelete.js'
import { updateTenant } from './update.js'

export const commands: readonly AnyCommand[] = [
  createTenant,
  listTenants,
  showTenant,
  updateTenant,
  renameTenant,
  suspendTenant,
  activateTenant,
  deleteTenant,
  undeleteTenant,
  purgeTenant,
]
