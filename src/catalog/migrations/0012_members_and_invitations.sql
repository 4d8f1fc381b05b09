-- The profile of a member inside of the tenant. Not in user_tenants: that table is read with every cold request, and each of its
-- updates raises the user's epoch, which a change of a profile has no need of.
create table member_profiles (
  user_id uuid not null,
  tenant_id uuid not null,
  position text check (length(position) <= 200),
  department text check (length(department) <= 200),
  attributes jsonb not null default '{}' check (jsonb_typeof(attributes) = 'object'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, tenant_id),
  foreign key (user_id, tenant_id) references user_tenants (user_id, tenant_id) on update cascade on delete cascade
);
create trigger member_profiles_updated_at before update on member_profiles
  for each row execute function set_updated_at();

-- The open offer of a tenant's ownership, at most one. It ends with the membership of either side, and with the role that the
-- giver keeps.
create table ownership_offers (
  tenant_id uuid primary key references tenants (id) on delete cascade,
  from_user_id uuid not null,
  to_user_id uuid not null check (to_user_id <> from_user_id),
  kept_role_id uuid not null references roles (id) on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  foreign key (from_user_id, tenant_id) references user_tenants (user_id, tenant_id) on update cascade on delete cascade,
  foreign key (to_user_id, tenant_id) references user_tenants (user_id, tenant_id) on update cascade on delete cascade
);
create index ownership_offers_from_idx on ownership_offers (from_user_id);
create index ownership_offers_to_idx on ownership_offers (to_user_id);
create index ownership_offers_kept_role_idx on ownership_offers (kept_role_id);

-- Invitations of addresses. Only the hash of a token is stored. An invitation ends with its inviter: without one (null) it is an
-- operator's.
create table invitations (
  id uuid primary key,
  tenant_id uuid not null references tenants (id) on delete cascade,
  email text not null check (email <> '' and length(email) <= 320),
  role_ids uuid[] not null,
  token_hash bytea not null unique check (length(token_hash) = 32),
  invited_by uuid references users (id) on delete cascade,
  state text not null default 'open' check (state in ('open', 'accepted', 'withdrawn')),
  sends integer not null default 1,
  sent_at timestamptz not null default now(),
  expires_at timestamptz not null,
  accepted_by uuid references users (id) on delete set null,
  ended_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((state = 'open') = (ended_at is null))
);
create unique index invitations_open_key on invitations (tenant_id, email) where state = 'open';
create index invitations_tenant_id_idx on invitations (tenant_id, id);
create index invitations_invited_by_idx on invitations (invited_by);
create index invitations_accepted_by_idx on invitations (accepted_by);
create index invitations_over_idx on invitations ((coalesce(ended_at, expires_at)));
create trigger invitations_updated_at before update on invitations for each row execute function set_updated_at();

-- Makes a user a member by the token of an invitation, in one statement. Locks in the order of every change of members: the tenant,
-- so that those who join at the same time count each other, then roles, user, membership. `outcome` is `joined` or the reason why
-- nothing was written; `invalid` is the one answer to everybody whom the invitation is not for.
create function accept_invitation(
  hash bytea, who uuid,
  out outcome text, out tenant tenants, out members integer, out joined user_tenants
) language plpgsql set lock_timeout = '5s' as $$
declare
  invited invitations;
  given_ids uuid[];
  given_names text[];
  lacks integer;
begin
  outcome := 'invalid';
  select * into tenant from tenants
    where id = (select tenant_id from invitations where token_hash = hash) for no key update;
  if not found or tenant.status <> 'active' then
    return;
  end if;
  select * into invited from invitations
    where token_hash = hash and state = 'open' and expires_at > clock_timestamp() for update;
  if not found then
    return;
  end if;
  perform from roles where id = any (invited.role_ids) order by id for share;
  perform from users
    where id = who and disabled_at is null and email_verified and plain_address(email) = invited.email for no key update;
  if not found then
    return;
  end if;
  select count(*) into members from user_tenants where tenant_id = tenant.id;
  if exists (select from user_tenants where tenant_id = tenant.id and user_id = who) then
    outcome := 'member';
    return;
  end if;
  if members >= tenant.max_users then
    outcome := 'full';
    return;
  end if;
  -- A role that was deleted meanwhile is not given.
  select coalesce(array_agg(id order by name), '{}'), coalesce(array_agg(name order by name), '{}') into given_ids, given_names
    from roles where id = any (invited.role_ids) and (tenant_id is null or tenant_id = tenant.id);
  if invited.invited_by is not null then
    -- No row: the inviter is no active member any more.
    select cardinality(missing_permissions || missing_roles) into lacks
      from missing_access(tenant.id, invited.invited_by, given_names, '{}', null);
    if lacks is distinct from 0 then
      outcome := 'authority';
      return;
    end if;
  end if;
  insert into user_tenants (user_id, tenant_id, is_default)
    values (who, tenant.id, not exists (select from user_tenants where user_id = who)) returning * into joined;
  insert into user_tenant_roles (user_id, tenant_id, role_id) select who, tenant.id, unnest(given_ids);
  update invitations set state = 'accepted', accepted_by = who, ended_at = now() where id = invited.id;
  insert into audit_log (actor_id, tenant_id, action, subject, after)
    values (who, tenant.id, 'invitation.accept', 'user:' || who,
      jsonb_build_object('invitation', invited.id, 'roles', given_names, 'isDefault', joined.is_default));
  outcome := 'joined';
end $$;
