import type pg from 'pg'

/** Reads all state of a session that its next user could notice. A fresh one answers {@link freshSession}. */
export const sessionProbe = `
  select
    current_user = session_user as own_role,
    (select coalesce(array_agg(name || '=' || setting order by name), '{}') from pg_settings
      where source in ('session', 'interactive', 'test') and name not in ('transaction_isolation',
        'transaction_read_only', 'transaction_deferrable', 'seed')) as settings,
    current_schemas(false)::text as search_path,
    coalesce(current_setting('app.actor', true), '') as app_user,
    (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as advisory_locks,
    (select count(*)::int from pg_listening_channels()) as channels,
    (select count(*)::int from pg_cursors where name <> '') as cursors,
    (select count(*)::int from pg_prepared_statements where from_sql) as prepared_by_sql,
    (select count(*)::int from pg_class where relnamespace = pg_my_temp_schema()) as temp_relations,
    (select count(*)::int from pg_proc where pronamespace = pg_my_temp_schema()) as temp_functions,
    (select count(*)::int from pg_type where typnamespace = pg_my_temp_schema()) as temp_types,
    pg_current_xact_id_if_assigned() is null as no_transaction`

export const freshSession = {
  own_role: true,
  settings: [],
  search_path: '{public}',
  app_user: '',
  advisory_locks: 0,
  channels: 0,
  cursors: 0,
  prepared_by_sql: 0,
  temp_relations: 0,
  temp_functions: 0,
  temp_types: 0,
  no_transaction: true,
}

/** Lists what differs from a fresh session. Sequences are included, whose state can only be tried, not looked up. */
export async function leakedState(client: pg.ClientBase): Promise<string[]> {
  const lastval = await client.query('select lastval()').then(
    () => ['lastval'],
    (error: { code?: string }) => (error.code === '55000' ? [] : ['lastval', String(error.code)]),
  )
  const { rows } = await client.query<Record<string, unknown>>(sessionProbe)
  const wrong = Object.entries(freshSession).filter(
    ([name, value]) => JSON.stringify(rows[0]?.[name]) !== JSON.stringify(value),
  )
  return [...lastval, ...wrong.map(([name]) => `${name}: ${JSON.stringify(rows[0]?.[name])}`)]
}
