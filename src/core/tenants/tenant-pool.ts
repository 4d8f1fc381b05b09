import type { Pool } from 'pg'

/**
 * The pool of one tenant's database: a `pg.Pool`, on connections that the scheduler hands out. Drizzle, Kysely, Prisma's
 * adapter and plain `pg` take it where they take a `Pool`. What differs is in `docs/pools.md`.
 */
export type TenantPool = Pool
