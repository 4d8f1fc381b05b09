import type { AnyCommand } from '../command.js'
import { grantPlatform } from './grant.js'
import { listPlatform } from './list.js'
import { revokePlatform } from './revoke.js'

export const commands: readonly AnyCommand[] = [grantPlatform, revokePlatform, listPlatform]
