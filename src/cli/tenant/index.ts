import type { AnyCommand } from '../command.js'
import { adoptDatabase } from '../backup/adopt.js'
import { backupTenant } from '../backup/backup.js'
import { restoreTenant } from '../backup/restore.js'
import { swapTenantBack } from '../backup/swap-back.js'
import { activateTenant } from './activate.js'
import { createTenant } from './create.js'
import { deleteTenant } from './delete.js'
import { labelTenant } from './labels.js'
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
  labelTenant,
  suspendTenant,
  activateTenant,
  deleteTenant,
  undeleteTenant,
  purgeTenant,
  backupTenant,
  restoreTenant,
  swapTenantBack,
  adoptDatabase,
]
