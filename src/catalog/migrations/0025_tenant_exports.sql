-- Exports of tenants: jobs whose result is the backup of one tenant, kept for a while. A row is committed before its archive is
-- written, so that an archive without a row is nobody's. `holder` is new for each attempt and part of the archive's name: two
-- processes never write the same file.
create table tenant_exports (
  id uuid primary key,
  tenant_id uuid not null references tenants (id) on delete cascade,
  state text not null default 'queued' check (state in ('queued', 'running', 'ready', 'failed')),
  requested_by uuid references users (id) on delete set null,
  -- Public keys of age.
  recipients text[] not null default '{}',
  keep_seconds integer not null check (keep_seconds > 0),
  expires_at timestamptz not null,
  attempts integer not null default 0,
  holder uuid,
  held_until timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  taken_at timestamptz,
  rows bigint,
  bytes bigint,
  sha256 bytea check (length(sha256) = 32),
  error_code text,
  downloaded_by uuid,
  downloaded_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((state = 'running') = (held_until is not null)),
  check (state <> 'ready' or (holder is not null and bytes is not null and sha256 is not null and taken_at is not null)),
  check ((state = 'failed') = (error_code is not null))
);
-- One at a time: an export reads the whole database of its tenant.
create unique index tenant_exports_under_way_idx on tenant_exports (tenant_id) where state in ('queued', 'running');
create index tenant_exports_tenant_id_idx on tenant_exports (tenant_id, id);
create index tenant_exports_expires_at_idx on tenant_exports (expires_at);
create index tenant_exports_requested_by_idx on tenant_exports (requested_by);
create trigger tenant_exports_updated_at before update on tenant_exports
  for each row execute function set_updated_at();
