import type { FleetCheckOptions, FleetCheckReport } from './fleet-check.js'

/** Work on all tenant databases of an installation. */
export interface Fleet {
  /**
   * Compares the structure of tenant databases with the template, from which a new tenant would be cloned now: tables,
   * columns, types, defaults, constraints, indexes, functions, triggers, views, policies, grants, extensions, owners,
   * settings. Changes nothing. A database that has not changed takes one connection and one query.
   *
   * Databases of another schema version are not compared unless `anyVersion` says so. One that cannot be read is a result
   * (`failed`), not an error.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (a named tenant has no
   *   database), TENANCY_DATABASE_BUILD_FAILED (no template), TENANCY_CATALOG_UNAVAILABLE, the reason of `signal`, and
   *   what `onResult` throws
   * @example
   * const report = await tenancy.fleet.check({
   *   onResult({ tenant, differences }) {
   *     if (differences.length > 0) console.log(tenant.slug, renderDifferences(differences))
   *   },
   * })
   * if (report.different + report.failed > 0) process.exitCode = 1
   */
  check(options?: FleetCheckOptions): Promise<FleetCheckReport>
}
