export { type GuardHook, requirePermission, requireRole } from './guards.js'
export { tenancyPlugin, type TenancyPluginOptions } from './plugin.js'
export { toProblem, type Problem } from '../../http/problem.js'
