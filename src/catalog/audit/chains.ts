/** Id of the chain for entries that concern no tenant. */
export const installationChain = '00000000-0000-0000-0000-000000000000'

/** SQL: the chain of `audit_log as entry`. */
export const chainOf = `coalesce(entry.tenant_id, '${installationChain}'::uuid)`
