-- What schema each tenant database has, as its own ledger says. Null: not read yet (a process of an earlier release built it);
-- -1: no file was applied. Written after the ledger, under the lock of whoever migrates: it may be behind for a moment or
-- after a crash, and is never ahead.
alter table tenant_databases add column schema_version bigint;
-- 16 hex digits of a hash over names and checksums of the files that were applied.
alter table tenant_databases add column schema_fingerprint text;
