import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { createChange } from '../change.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { actor, name, parse, schemaOf } from '../input.js'
import { isSeeded } from './seed/defined-entries.js'
import { commitChange, explainTaken, findPermission } from './lookup.js'
import { inOrder } from '../transaction.js'

/** A route rule, by its method, path and permission. */
export interface RouteRuleInput extends ActorOption {
  /** In upper case, or `*` for any. */
  readonly method: string
  /** Literal and `{param}` segments: `/reports/{id}`. At most 1000 characters. */
  readonly path: string
  /** Name of the permission that it requires. */
  readonly permission: string
}

/** A route rule to activate or deactivate. */
export interface RouteRuleActiveInput extends RouteRuleInput {
  readonly isActive: boolean
}

/** Which route rules to list. */
export interface RouteRuleListInput {
  /** The last rule of the page before. Default: from the start. */
  readonly after?: Pick<RouteRule, 'method' | 'path' | 'permission'> | undefined
  /** 1 to 1000. Default: all. */
  readonly limit?: number | undefined
}

const place = {
  method: z.string().regex(/^([A-Z]{1,20}|\*)$/, 'is not a method in upper case, nor *'),
  path: z
    .string()
    .regex(/^\/[^\0]*$/, 'is not a path')
    .max(1000),
  permission: name,
}
const ruleKey = { ...place, actor }
const ruleActiveInput = schemaOf<RouteRuleActiveInput>()(z.strictObject({ ...ruleKey, isActive: z.boolean() }))
const ruleListInput = schemaOf<RouteRuleListInput>()(
  z.strictObject({ after: z.strictObject(place).optional(), limit: z.int().min(1).max(1000).optional() }),
)
const ruleKeyInput = schemaOf<RouteRuleInput>()(z.strictObject(ruleKey))

/** The permission that a route requires. Rules of the same method and path are alternatives: any one is enough. */
export interface RouteRule {
  readonly method: string
  readonly path: string
  readonly permission: string
  readonly isActive: boolean
  /** Whether it ships with the access definition. */
  readonly isSystem: boolean
}

/** Changes route rules. They are the same for every tenant; only operators of the installation change them. */
export interface RouteAdministration {
  /** Creates a route rule. @throws TENANCY_ACCESS_PERMISSION_NOT_FOUND, TENANCY_ACCESS_RULE_EXISTS */
  createRouteRule(input: RouteRuleInput): Promise<void>
  /**
   * Activates or deactivates a route rule. An inactive rule stays in place and closes its route: no wider rule applies to it.
   * @throws TENANCY_ACCESS_RULE_NOT_FOUND
   */
  setRouteRuleActive(input: RouteRuleActiveInput): Promise<void>
  /** Deletes a route rule. A wider rule may apply to the route afterwards. @throws TENANCY_ACCESS_RULE_NOT_FOUND */
  deleteRouteRule(input: RouteRuleInput): Promise<void>
  /** Lists route rules by path, method and permission, all of them or a page. */
  listRouteRules(input?: RouteRuleListInput): Promise<RouteRule[]>
}

/**
 * Creates the services that change route rules.
 *
 * @param problemOfTemplate describes the problem with a rule's path; undefined: the path is valid
 */
export function createRoutes(
  pool: SqlPool,
  problemOfTemplate: (path: string) => string | undefined,
): RouteAdministration {
  const change = createChange(pool)
  const newRuleInput = schemaOf<RouteRuleInput>()(
    z.strictObject({
      ...ruleKey,
      path: ruleKey.path.superRefine((path, context) => {
        const problem = problemOfTemplate(path)
        if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
      }),
    }),
  )
  return {
    createRouteRule: change.ofInstallation(newRuleInput, async (client, input, scope) => {
      const { id } = await findPermission(client, input.permission)
      const what = `${input.method} ${input.path} for ${input.permission}`
      const inserted = client.query('insert into route_rules (method, path, permission_id) values ($1, $2, $3)', [
        input.method,
        input.path,
        id,
      ])
      const after = { permission: input.permission }
      await inOrder([
        explainTaken(inserted, 'TENANCY_ACCESS_RULE_EXISTS', 'route rule', what),
        commitChange(client, scope, 'route.create', `route:${input.method} ${input.path}`, null, after),
      ])
    }),

    setRouteRuleActive: change.ofInstallation(ruleActiveInput, async (client, input, scope) => {
      const { isActive, permission } = input
      const rule = await findRule(client, input)
      if (rule.isActive === isActive) return
      const [before, after] = [
        { permission, isActive: !isActive },
        { permission, isActive },
      ]
      await inOrder([
        client.query('update route_rules set is_active = $2 where id = $1', [rule.id, isActive]),
        commitChange(client, scope, 'route.update', `route:${input.method} ${input.path}`, before, after),
      ])
    }),

    deleteRouteRule: change.ofInstallation(ruleKeyInput, async (client, input, scope) => {
      const { id, isActive } = await findRule(client, input)
      const before = { permission: input.permission, isActive }
      await inOrder([
        client.query('delete from route_rules where id = $1', [id]),
        commitChange(client, scope, 'route.delete', `route:${input.method} ${input.path}`, before, null),
      ])
    }),

    async listRouteRules(input = {}) {
      const { after, limit = null } = parse(ruleListInput, input)
      const { rows } = await pool.query<RouteRule>(
        `select method, path, permission.name as permission, rule.is_active as "isActive",
           ${isSeeded("'route ' || method || ' ' || path || ' ' || permission.name")} as "isSystem"
         from route_rules as rule join permissions as permission on permission.id = permission_id
         where $1::text is null or (path, method, permission.name) > ($1, $2, $3)
         order by path, method, permission.name limit $4`,
        [after?.path ?? null, after?.method ?? null, after?.permission ?? null, limit],
      )
      return rows
    },
  }
}

async function findRule(client: SqlClient, { method, path, permission }: z.output<typeof ruleKeyInput>) {
  const { rows } = await client.query<{ id: number; isActive: boolean }>(
    `select rule.id, rule.is_active as "isActive"
     from route_rules as rule join permissions on permissions.id = rule.permission_id
     where method = $1 and path = $2 and permissions.name = $3 for update of rule`,
    [method, path, permission],
  )
  if (rows[0] !== undefined) return rows[0]
  throw new TenancyError(
    'TENANCY_ACCESS_RULE_NOT_FOUND',
    `There is no route rule ${method} ${JSON.stringify(path)} for ${JSON.stringify(permission)}`,
  )
}
