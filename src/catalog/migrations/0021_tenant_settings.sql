-- Settings of tenants: what the application's schema allows, as it was given. Secrets are sealed, each by its path.
create table tenant_settings (
  tenant_id uuid primary key references tenants (id) on delete cascade,
  version integer not null default 1,
  plain jsonb not null default '{}' check (jsonb_typeof(plain) = 'object'),
  sealed jsonb not null default '{}' check (jsonb_typeof(sealed) = 'object'),
  updated_at timestamptz not null default now()
);
create trigger tenant_settings_updated_at before update on tenant_settings
  for each row execute function set_updated_at();

-- Processes remember settings until they hear of a change of the tenant.
create function tenant_settings_epoch() returns trigger language plpgsql as $$
begin
  perform bump_tenant_epoch(new.tenant_id);
  return null;
end $$;
create trigger tenant_settings_epoch after insert or update on tenant_settings
  for each row execute function tenant_settings_epoch();
