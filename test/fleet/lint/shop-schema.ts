/** The schema that every tenant has before the migrations of the two sets: what a release or two have left behind. */
export const shopSchema = [
  {
    name: '0001_shop.sql',
    sql: `
create type order_state as enum ('new', 'paid');
create table accounts (
  id bigint generated always as identity primary key,
  name text not null,
  email varchar(100),
  plan text not null default 'free',
  legacy_code text,
  created_at timestamptz not null default now()
);
create table invoices (
  id bigint generated always as identity primary key,
  account_id bigint not null,
  total numeric(10,2) not null,
  number integer not null,
  note varchar(50),
  status text not null default 'open'
);
create table orders (
  id integer generated always as identity primary key,
  account_id bigint not null references accounts,
  state order_state not null default 'new',
  placed_at timestamp not null default now(),
  customer_code text,
  quantity integer not null default 1
);
create table events (
  id bigint generated always as identity primary key,
  kind text not null,
  payload jsonb not null default '{}'
);
create table sessions (token text primary key, user_name text not null, ends_at timestamptz);
create table import_rows (line integer, raw text);
create index orders_account on orders (account_id);
create view open_orders as select id, account_id from orders where state = 'new';
create materialized view daily_totals as
  select placed_at::date as day, count(*) as orders from orders group by 1;
create unique index daily_totals_day on daily_totals (day);
`,
  },
  {
    name: '0002_rules.sql',
    sql: `
create function touch_account() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger accounts_touch before update on accounts for each row execute function touch_account();
create function widen_orders() returns void language plpgsql as $$
begin
  execute 'alter table orders alter column quantity type bigint';
end $$;
create function label_of(code text) returns text immutable language sql as $$ select upper(code) $$;
alter table invoices add constraint invoices_account foreign key (account_id) references accounts not valid;
alter table invoices add constraint invoices_note check (note is not null) not valid;
alter table orders add constraint orders_customer check (customer_code is not null) not valid;
`,
  },
  { name: '0003_orders_customer.sql', sql: `alter table orders validate constraint orders_customer;` },
] as const

/** Rows as a tenant has them: e-mail addresses that occur twice, invoices without a note. */
export const shopRows = `
insert into accounts (name, email, legacy_code)
  select 'Account ' || n, 'someone.with.a.long.name+' || n % 900 || '@example.com', 'L' || n from generate_series(1, 1000) n;
insert into invoices (account_id, total, number, note)
  select n % 1000 + 1, n, n, case when n % 10 > 0 then 'n' || n end from generate_series(1, 500) n;
`
/** Runs before the constraints of 0002 exist: rows that are older than they are. */
export const shopOrders = `
insert into orders (account_id, customer_code, quantity) select n % 1000 + 1, 'C' || n, n % 5 from generate_series(1, 20000) n;
insert into events (kind) select 'k' || n % 3 from generate_series(1, 2000) n;
insert into sessions select 't' || n, 'u' || n, now() from generate_series(1, 500) n;
insert into import_rows select n, 'row ' || n from generate_series(1, 300) n;
analyze;
`
