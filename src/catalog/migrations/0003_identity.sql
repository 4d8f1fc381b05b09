-- Keys that sign our own access tokens. Only `sealed_private_key` can sign, and it opens with TENANT_SECRET alone.
create table signing_keys (
  -- RFC 7638 thumbprint of the public key.
  kid text primary key,
  algorithm text not null check (algorithm in ('EdDSA', 'ES256')),
  public_jwk jsonb not null check (jsonb_typeof(public_jwk) = 'object' and not public_jwk ? 'd'),
  sealed_private_key bytea not null,
  created_at timestamptz not null default now(),
  -- A key is published before it signs, so that verifiers know it by then.
  signs_from timestamptz not null default now(),
  -- Set when a successor is made: by then the last token this key signed has expired.
  expires_at timestamptz
);
