-- A password that is set in the transaction that creates its user ends no tokens: there are none that a stranger could have.
-- Otherwise the owner of an address who confirms a registration and signs on with an identity provider in the same moment would
-- be refused with the provider's token until that issues another one, because its time of issue has whole seconds.
create or replace function user_credentials_changed() returns trigger language plpgsql as $$
declare
  owner uuid;
begin
  if tg_op = 'DELETE' then
    owner := old.user_id;
  else
    owner := new.user_id;
  end if;
  if tg_op = 'INSERT' and exists (
    select from users where id = owner and xmin = pg_current_xact_id()::xid and created_at = now()
  ) then
    return null;
  end if;
  update users set token_epoch = token_epoch + 1, tokens_valid_after = now() where id = owner;
  perform drop_user_links(owner);
  return null;
end $$;
