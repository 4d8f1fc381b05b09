// Declares `request.user`, `request.tenant` and the route option `tenancy` to those who use this module's types.
// oxlint-disable-next-line import/no-unassigned-import
import './request-state.js'
export { type GuardHook, requirePermission, requireRole } from './guards.js'
export { tenancyPlugin, type TenancyPluginOptions } from './plugin.js'
export { toProblem, type Problem } from '../../http/problem.js'
