import type { z } from 'zod'
import { accountSettings } from './account-settings.js'
import { databaseSettings } from './database-settings.js'
import { requestSettings } from './request-settings.js'
import type { Setting } from './setting-schemas.js'
import { tokenSettings } from './token-settings.js'

/** Every variable that this package reads, and nothing else. Key: the variable's name. */
export const settings = {
  ...databaseSettings,
  ...requestSettings,
  ...tokenSettings,
  ...accountSettings,
} as const satisfies Record<string, Setting>

/** The name of a setting. */
export type SettingName = keyof typeof settings

/** The values that the schemas read from the environment. */
export type SettingValues = { readonly [Name in SettingName]: z.output<(typeof settings)[Name]['schema']> }
