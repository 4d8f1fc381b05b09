import type { SeedKind } from './seed-entries.js'

// Each statement takes its entries as one JSON array of { key, … }.

// Inserts only missing rows, without `on conflict`: that would use up identity values, which are bit positions.
export const insertions: Readonly<Record<SeedKind, string>> = {
  category: `
    insert into permission_categories (name, description)
    select name, description from jsonb_to_recordset($1) as new (name text, description text)
    where not exists (select from permission_categories where name = new.name)`,
  permission: `
    insert into permissions (name, description, category, is_system)
    select name, description, (select name from permission_categories where name = new.category), true
    from rows from (jsonb_to_recordset($1) as (name text, description text, category text)) with ordinality as new
    where not exists (select from permissions where name = new.name)
    order by ordinality`,
  route: `
    insert into route_rules (method, path, permission_id)
    select new.method, new.path, permissions.id
    from jsonb_to_recordset($1) as new (method text, path text, permission text)
    join permissions on permissions.name = new.permission
    where not exists (
      select from route_rules as rule
      where (rule.method, rule.path, rule.permission_id) = (new.method, new.path, permissions.id)
    )`,
  role: `
    insert into roles (name, description, is_system)
    select name, description, true from jsonb_to_recordset($1) as new (name text, description text)
    where not exists (select from roles where tenant_id is null and lower(name) = lower(new.name))`,
  grant: `
    insert into role_permissions (role_id, permission_id)
    select roles.id, permissions.id
    from jsonb_to_recordset($1) as new (role text, permission text)
    join roles on roles.tenant_id is null and roles.name = new.role
    join permissions on permissions.name = new.permission
    where not exists (select from role_permissions where (role_id, permission_id) = (roles.id, permissions.id))`,
  include: `
    insert into role_inclusions (role_id, included_role_id)
    select roles.id, included.id
    from jsonb_to_recordset($1) as new (role text, included text)
    join roles on roles.tenant_id is null and roles.name = new.role
    join roles as included on included.tenant_id is null and included.name = new.included
    where not exists (select from role_inclusions where (role_id, included_role_id) = (roles.id, included.id))`,
}

// Retires rows that nobody has changed since they were inserted: a row that was written in the ledger's own transaction
// has exactly the ledger's time. Permissions and roles are deactivated, not deleted: tenants may have built on them.
export const retirements: Readonly<Partial<Record<SeedKind, string>>> = {
  include: `
    delete from role_inclusions as row
    using jsonb_to_recordset($1) as old (key text, role text, included text), access_seed_entries as ledger, roles, roles as included
    where ledger.entry = old.key and row.created_at = ledger.applied_at
      and roles.tenant_id is null and roles.name = old.role and row.role_id = roles.id
      and included.tenant_id is null and included.name = old.included and row.included_role_id = included.id
    returning old.key`,
  grant: `
    delete from role_permissions as row
    using jsonb_to_recordset($1) as old (key text, role text, permission text), access_seed_entries as ledger, roles, permissions
    where ledger.entry = old.key and row.created_at = ledger.applied_at
      and roles.tenant_id is null and roles.name = old.role and row.role_id = roles.id
      and permissions.name = old.permission and row.permission_id = permissions.id
    returning old.key`,
  role: `
    update roles as row set is_active = false
    from jsonb_to_recordset($1) as old (key text, name text), access_seed_entries as ledger
    where ledger.entry = old.key and row.updated_at = ledger.applied_at
      and row.tenant_id is null and row.name = old.name and row.name <> 'Owner' and row.is_active
    returning old.key`,
  route: `
    delete from route_rules as row
    using jsonb_to_recordset($1) as old (key text, method text, path text, permission text),
      access_seed_entries as ledger, permissions
    where ledger.entry = old.key and row.updated_at = ledger.applied_at
      and permissions.name = old.permission and row.permission_id = permissions.id
      and row.method = old.method and row.path = old.path
    returning old.key`,
  permission: `
    update permissions as row set is_active = false
    from jsonb_to_recordset($1) as old (key text, name text), access_seed_entries as ledger
    where ledger.entry = old.key and row.updated_at = ledger.applied_at and row.name = old.name and row.is_active
    returning old.key`,
}

// Activates rows again that were deactivated when their entry was retired and have not been changed since.
export const revivals: Readonly<Partial<Record<SeedKind, string>>> = {
  role: `
    update roles as row set is_active = true
    from jsonb_to_recordset($1) as back (key text, name text), access_seed_entries as ledger
    where ledger.entry = back.key and row.updated_at = ledger.applied_at and row.tenant_id is null and row.name = back.name`,
  permission: `
    update permissions as row set is_active = true
    from jsonb_to_recordset($1) as back (key text, name text), access_seed_entries as ledger
    where ledger.entry = back.key and row.updated_at = ledger.applied_at and row.name = back.name`,
}
