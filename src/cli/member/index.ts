import type { AnyCommand } from '../command.js'
import { addMember } from './add.js'
import { listMembers } from './list.js'
import { removeMember } from './remove.js'
import { changeRoles } from './role.js'

export const commands: readonly AnyCommand[] = [addMember, listMembers, removeMember, changeRoles]
