import { z } from 'zod'
import type { RuleSet } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import { name, parse, schemaOf, tenant, user } from '../input.js'
import { type PermissionProvenance, provenanceOf } from './provenance.js'
import { type Barrier, readMemberFacts } from '../members/member-facts.js'
import { createRuleSetReader } from './rule-set-reader.js'
import { inTransaction } from '../transaction.js'

/** Whether a user may use a permission in a tenant. */
export interface ExplainPermissionInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the user. */
  readonly user: string
  /** Name of the permission. */
  readonly permission: string
}

/** Whether a user may call a route in a tenant. */
export interface ExplainRouteInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the user. */
  readonly user: string
  /** In upper case, at most 20 characters. */
  readonly method: string
  /** A concrete path (`/reports/42`) or a template (`/reports/{id}`), at most 2048 characters. */
  readonly path: string
}

/** Which decision to explain. */
export type ExplainInput = ExplainPermissionInput | ExplainRouteInput

const who = { tenant, user }
const explainInput = schemaOf<ExplainInput>()(
  z.union([
    z.strictObject({ ...who, permission: name }),
    z.strictObject({ ...who, method: z.string().max(20), path: z.string().max(2048) }),
  ]),
)

/**
 * The reason of a decision.
 *
 * `granted`; or why not, the first of: `user-unknown`, `user-disabled`, `user-unverified`, `not-a-member`,
 * `member-inactive`, `tenant-suspended`, `tenant-deleted`, `no-rule` (nothing answers for the route: nobody may),
 * `rule-inactive`, `no-permission` (there is none of this name), `permission-inactive`, `denied` (a direct deny),
 * `not-granted`.
 */
export type AccessReason = Barrier | 'no-rule' | 'rule-inactive' | PermissionProvenance['state']

/** Why a member may or may not, as the catalog has it now. */
export interface AccessExplanation {
  readonly allowed: boolean
  readonly reason: AccessReason
  /** The route rule that decides, as written (`GET /reports/{id}`); undefined for a permission, or when none answers. */
  readonly rule: string | undefined
  /** The permission asked for, or those that the rule asks for, of which any one is enough; each with where it comes from. */
  readonly permissions: readonly PermissionProvenance[]
}

/** Explains decisions about access. */
export interface AccessExplainer {
  /**
   * Says why the user may or may not. Reads the catalog, not a cache.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_REQUEST_INVALID
   */
  explain(input: ExplainInput): Promise<AccessExplanation>
}

/** What {@link createAccessExplainer} needs. */
export interface AccessExplainerOptions {
  readonly catalog: SqlPool
  /** The rule of a rule set that decides over a route (a concrete path or a template), as written. */
  readonly findRule: (ruleSet: RuleSet, method: string, path: string) => string | undefined
}

/** Explains decisions from the catalog. */
export function createAccessExplainer({ catalog, findRule }: AccessExplainerOptions): AccessExplainer {
  return {
    async explain(input) {
      const question = parse(explainInput, input)
      return inTransaction(catalog, async (client) => {
        // Rules and member of one moment.
        await client.query('set transaction isolation level repeatable read, read only')
        const facts = await readMemberFacts(client, question.tenant, question.user)
        const ruleSet = await createRuleSetReader(client).readRuleSet()
        const rule = 'permission' in question ? undefined : findRule(ruleSet, question.method, question.path)
        const asked = 'permission' in question ? [question.permission] : permissionsOf(ruleSet, rule)
        const permissions = asked.map((permission) => provenanceOf(permission, ruleSet, facts))
        const answer = (reason: AccessReason): AccessExplanation => ({
          allowed: reason === 'granted',
          reason,
          rule,
          permissions,
        })
        if (facts.barrier !== undefined) return answer(facts.barrier)
        if (!('permission' in question)) {
          if (rule === undefined) return answer('no-rule')
          if (permissions.length === 0) return answer('rule-inactive')
        }
        return answer(reasonOf(permissions))
      })
    },
  }
}

/** Names of what a rule asks for: of all active rules of its method and shape, whatever their parameters are called. */
function permissionsOf(ruleSet: RuleSet, rule: string | undefined): string[] {
  if (rule === undefined) return []
  const names = new Map(ruleSet.permissions.map((permission) => [permission.id, permission.name]))
  return ruleSet.routes
    .filter((route) => route.isActive && shapeOf(`${route.method} ${route.path}`) === shapeOf(rule))
    .map((route) => names.get(route.permissionId))
    .filter((found) => found !== undefined)
}

function shapeOf(rule: string): string {
  return rule.replaceAll(/\{[^}]*\}/g, '{}')
}

/** Of alternatives, the one that comes closest to being granted speaks for all. */
const closest = ['granted', 'denied', 'not-granted', 'permission-inactive', 'no-permission'] as const

function reasonOf(permissions: readonly PermissionProvenance[]): AccessReason {
  const states = new Set(permissions.map((permission) => permission.state))
  const reason = closest.find((state) => states.has(state))
  if (reason === undefined) throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'A rule asks for nothing')
  return reason
}
