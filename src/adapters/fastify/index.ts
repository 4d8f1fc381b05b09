// Declares `request.user`, `request.tenant` and the route option `tenancy` to those who use this module's types.
// oxlint-disable-next-line import/no-unassigned-import
import './request-state.js'
export { tenancyErrorHandler } from './error-handler.js'
export { type GuardHook, requirePermission, requireRole, requireSchema } from './guards.js'
export type { DecoratorNames, TenancyPluginOptions, TenancyRoute } from './plugin-options.js'
export { tenancyPlugin } from './tenancy-plugin.js'
export { toProblem, type Problem, type ProblemOptions } from '../../http/problem.js'
