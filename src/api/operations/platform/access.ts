import type { Operation } from '../../operation.js'
import { categoryOperations } from './categories.js'
import { permissionOperations } from './permissions.js'
import { routeRuleOperations } from './route-rules.js'

/** Permissions, their categories and route rules, which are the same for every tenant. */
export const platformAccessOperations: readonly Operation[] = [
  ...permissionOperations,
  ...categoryOperations,
  ...routeRuleOperations,
]
