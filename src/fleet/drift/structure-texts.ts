// Pieces of SQL that the parts of the description share. Arguments are SQL expressions of our own.

/** The name of a role, or what stands for it. */
export const roleName = (oid: string): string =>
  `coalesce((select label from labels where labels.role = pg_catalog.pg_get_userbyid(${oid})),
    pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(${oid})))`

/** As {@link roleName}, where 0 is everybody. */
export const granteeName = (oid: string): string => `case when ${oid} = 0 then 'PUBLIC' else ${roleName(oid)} end`

/** Whether an object belongs to no extension. */
export const isNoMember = (catalog: string, oid: string): string =>
  `not exists (select from members where members.classid = 'pg_catalog.${catalog}'::pg_catalog.regclass
    and members.objid = ${oid})`

/** The elements of a text array, sorted, in one text; null: none. `C`: the order is no matter of the database's locale. */
export const sortedList = (array: string): string =>
  `(select pg_catalog.string_agg(e, ', ' order by e collate "C") from pg_catalog.unnest(${array}) as e)`

/** Types of a function's arguments. */
export const signature = (procedure: string): string =>
  `pg_catalog.quote_ident(${procedure}.proname) || '(' || pg_catalog.oidvectortypes(${procedure}.proargtypes) || ')'`

/** What a fact says when there is nothing more to say than that the object is there. */
export const present = `'exists'`
