import { z } from 'zod'
import type { RegisteredPermission, RuleSet } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import {
  type EffectivePermissions,
  type EffectivePermissionsInput,
  readEffectivePermissions,
} from './effective-permissions.js'
import { name, parse, schemaOf, tenant, user } from '../input.js'
import { type PermissionProvenance, provenanceOf } from './provenance.js'
import { type Barrier, readMemberFacts } from '../members/member-facts.js'
import { createRuleSetReader } from './rule-set-reader.js'
import { findTenant } from '../tenants/tenant-row.js'
import { isUuid } from '../../core/uuid.js'
import { inOrder, inTransaction, type Transaction } from '../transaction.js'

/** A question: may this user use this permission in this tenant? */
export interface ExplainPermissionInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the user. */
  readonly user: string
  /** Name of the permission. */
  readonly permission: RegisteredPermission
}

/** A question: may this user call this route in this tenant? */
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
 * `granted`, or the first of these that applies: `user-unknown`, `not-a-member`, `user-disabled`, `user-unverified`,
 * `member-inactive`, `tenant-suspended`, `tenant-deleted`, `no-rule` (no rule covers the route: it is closed),
 * `rule-inactive`, `no-permission` (no permission has this name), `permission-inactive`, `denied` (a direct deny),
 * `not-granted`.
 */
export type AccessReason = Barrier | 'no-rule' | 'rule-inactive' | PermissionProvenance['state']

/** A decision about access and its reason, from the current state of the catalog. */
export interface AccessExplanation {
  readonly allowed: boolean
  readonly reason: AccessReason
  /** The route rule that decides, as written (`GET /reports/{id}`). Undefined for a permission, or when no rule applies. */
  readonly rule: string | undefined
  /** The permission of the question, or those that the rule accepts (any one is enough), each with its provenance. */
  readonly permissions: readonly PermissionProvenance[]
}

/** Explains decisions about access. */
export interface AccessExplainer {
  /**
   * Explains why the user may or may not. Reads the catalog, not a cache.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_REQUEST_INVALID
   */
  explain(input: ExplainInput): Promise<AccessExplanation>
  /**
   * Reads the roles and permissions of any member, as a request of theirs would find them. Makes one query of the catalog, and
   * reads no cache.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_REQUEST_INVALID
   */
  effectivePermissions(input: EffectivePermissionsInput): Promise<EffectivePermissions>
}

/** Dependencies of {@link createAccessExplainer}. */
export interface AccessExplainerOptions {
  readonly catalog: SqlPool
  /** Finds the rule of a rule set that decides a route (a concrete path or a template), as written. */
  readonly findRule: (ruleSet: RuleSet, method: string, path: string) => string | undefined
}

/** Explains decisions from the catalog. */
export function createAccessExplainer({ catalog, findRule }: AccessExplainerOptions): AccessExplainer {
  return {
    effectivePermissions: async (input) => readEffectivePermissions(catalog, input),
    async explain(input) {
      const question = parse(explainInput, input)
      const { tenant: ref } = question
      const tenantId = isUuid(ref) ? ref : (await findTenant(catalog, ref)).id
      // One snapshot, so that the rules and the member belong to the same moment; all in one message.
      const read = async (client: Transaction) =>
        inOrder([
          readMemberFacts(client, tenantId, question.user),
          createRuleSetReader(client).readRuleSet(),
          client.commit(),
        ])
      const [facts, ruleSet] = await inTransaction(catalog, read, { isSnapshot: true })
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
    },
  }
}

/** Names of the permissions that a route accepts: those of all active rules of its method and shape. Names of parameters do not matter. */
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

/** Picks the reason for several alternatives: that of the one which is closest to being granted. */
const closest = ['granted', 'denied', 'not-granted', 'permission-inactive', 'no-permission'] as const

function reasonOf(permissions: readonly PermissionProvenance[]): AccessReason {
  const states = new Set(permissions.map((permission) => permission.state))
  const reason = closest.find((state) => states.has(state))
  if (reason === undefined) throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'A rule asks for nothing')
  return reason
}
