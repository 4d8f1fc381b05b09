import { grantRows } from './structure-grants.js'
import { objectRows } from './structure-objects.js'
import { relationRows } from './structure-relations.js'
import { settingRows } from './structure-settings.js'

// The SQL that describes a database's structure. Each fact is a row:
//   object      the object it belongs to, such as `table public.notes`
//   kind, name  which fact of the object it is: `column`, `body`. The row that describes the object itself repeats them:
//               its object is `kind name`
//   definition  text that two databases share if they agree on the fact
//
// All names are qualified. Texts from PostgreSQL's deparse functions and casts to `regclass` and its like are qualified
// because the session's search path is pg_catalog alone, which also keeps operators of others out: see `structureSettings`.
// Nothing depends on oids, on the order of creation or on the positions of columns.
//
// Parameters: $1 name of the database (of the template, when the connection is to its copy), $2 and $3 names of roles that
// differ by database, and what stands for each, $4 whether to add what every build grants, $5 settings to leave out, $6 roles whose
// privileges to leave out.

const parts = `
  -- A name that stands for a role is in angle brackets: as the real name of a role, it would be quoted.
  labels (role, label) as (
    select * from rows from (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[])) as l (role, label)
  ),
  schemas (oid, name, owner, acl) as (
    select oid, pg_catalog.quote_ident(nspname), nspowner, nspacl from pg_catalog.pg_namespace
     where nspname !~ '^pg_' and nspname not in ('information_schema', 'tenants2fast')
  ),
  -- The objects of an extension are part of its version.
  members (classid, objid, extension) as (
    select d.classid, d.objid, pg_catalog.quote_ident(e.extname)
      from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
     where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
  )`

const rows = `with ${parts}, ${relationRows}, ${objectRows}, ${grantRows}, ${settingRows},
  facts (object, kind, name, definition) as (
    select * from relation_facts union all select * from object_facts
    union all select * from grant_facts union all select * from setting_facts
  )`

/** Reads the description: rows of `object`, `kind`, `name`, `definition`. */
export const structureQuery = `${rows}
  select object, kind, name, definition from facts`

// JSON keeps the four texts apart. The hashes are sorted, so the order of the rows does not matter, and only hashes are
// kept in memory.
const fingerprint = `pg_catalog.encode(pg_catalog.sha256(
    coalesce(pg_catalog.string_agg(hash, ''::pg_catalog.bytea order by hash), ''::pg_catalog.bytea)), 'hex')`

/**
 * Reads a hash of the description, as 64 hex digits, and the identity rows of the database, `[id, epoch]` each. Nothing but
 * this leaves the server.
 */
export const fingerprintQuery = `${rows}
  select ${fingerprint} as fingerprint, (
      select pg_catalog.json_agg(pg_catalog.json_build_array(database_id, epoch)) from tenants2fast.identity
    ) as identity
    from (
      select pg_catalog.sha256(pg_catalog.convert_to(
        pg_catalog.json_build_array(object, kind, name, definition)::pg_catalog.text, 'UTF8')) as hash
        from facts
    ) as hashes`

/**
 * Settings that a connection for these queries starts with. They win over those of the database and the role, with which a
 * tenant or a schema file could change how PostgreSQL writes a constant, or make the check wait for ever.
 */
export const structureSettings = [
  ...['statement_timeout=60000', 'lock_timeout=5000', 'quote_all_identifiers=off', 'standard_conforming_strings=on'],
  ...['datestyle=ISO,YMD', 'intervalstyle=postgres', 'timezone=UTC', 'extra_float_digits=1', 'bytea_output=hex'],
  ...['xmlbinary=base64', 'lc_monetary=C', 'jit=off'],
]
  .map((setting) => `-c ${setting}`)
  .join(' ')
