import type { RuleSet, RuleSetReader } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'

// One statement, so one snapshot: the rules belong to the epoch that is read with them.
const ruleSetQuery = `
  select
    rules_epoch::float8 as epoch,
    (select coalesce(json_agg(json_build_object('id', id, 'name', name, 'isActive', is_active) order by id), '[]')
       from permissions) as permissions,
    (select coalesce(json_agg(json_build_object(
         'method', method, 'path', path, 'permissionId', permission_id, 'isActive', is_active) order by id), '[]')
       from route_rules) as routes,
    array(select name from roles where tenant_id is null and is_active order by name) as roles
  from installation`

/** Reads permissions, route rules and built-in roles from the catalog, consistent with their epoch. */
export function createRuleSetReader(pool: SqlClient): RuleSetReader {
  return {
    /** @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE */
    async readRuleSet() {
      const { rows } = await catalogAnswer(pool.query<RuleSet>(ruleSetQuery), 'access rules')
      const [ruleSet] = rows
      if (ruleSet === undefined)
        throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog has no installation row')
      return ruleSet
    },
  }
}
