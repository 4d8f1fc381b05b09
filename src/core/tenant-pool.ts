import type { Pool } from 'pg'

/**
 * The pool of one tenant's database: what `pg.Pool` offers to those who query, on connections that the
 * scheduler hands out. Drizzle, Kysely, Prisma's adapter and plain `pg` take it where they take a `Pool`.
 */
export type TenantPool = Pick<
  Pool,
  'query' | 'connect' | 'end' | 'on' | 'once' | 'off' | 'removeListener' | 'totalCount' | 'idleCount' | 'waitingCount'
>
