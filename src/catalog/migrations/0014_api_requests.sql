-- Answers of the management API to requests with an Idempotency-Key, for a day. Keys and requests are stored as keyed hashes.
create table idempotent_requests (
  key bytea primary key,
  request bytea not null,
  -- Null: the first request is still being answered.
  status integer,
  body jsonb,
  created_at timestamptz not null default now()
);
create index idempotent_requests_created_at_idx on idempotent_requests (created_at);

-- Requests of the management API by user and tenant, as rate-limiter-flexible counts them.
create table limited_requests (
  key text primary key,
  points integer not null default 0,
  expire bigint
);
create index limited_requests_expire_idx on limited_requests (expire);
