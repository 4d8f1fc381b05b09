/** Exact versions: a check fails because of this package, never because of a newer ORM. */
export const versions = {
  pg: '8.16.3',
  'pg-cursor': '2.15.3',
  'drizzle-orm': '0.45.4',
  'drizzle-orm-044': 'npm:drizzle-orm@0.44.7',
  kysely: '0.28.19',
  'kysely-029': 'npm:kysely@0.29.9',
  '@prisma/adapter-pg': '7.10.1',
  typeorm: '1.1.1',
  'reflect-metadata': '0.2.2',
  '@mikro-orm/core': '6.6.16',
  '@mikro-orm/postgresql': '6.6.16',
}
