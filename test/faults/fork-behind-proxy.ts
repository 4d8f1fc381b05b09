import { type ChildProcess, fork } from 'node:child_process'
import type { Installation } from '../databases/fixture.js'
import { type PgProxy, startPgProxy } from '../support/proxies/pg-proxy.js'
import { testServer } from '../support/server.js'

/** A process of an installation, behind a proxy of its own. */
export interface ProxiedProcess {
  readonly child: ChildProcess
  readonly proxy: PgProxy
}

/**
 * Starts a program as a process of an installation. Its connections to PostgreSQL go through a proxy, which the caller
 * closes after the process has ended.
 *
 * @param path of the compiled program
 * @param argument its only argument
 * @param settings `TENANT_*` beside those of the installation
 */
export async function forkBehindProxy(
  path: string,
  argument: string,
  installation: Installation,
  settings: Readonly<Record<string, string>>,
): Promise<ProxiedProcess> {
  const { host, port, user, password, database } = await testServer()
  const proxy = await startPgProxy({ upstream: { host, port } })
  const child = fork(path, [argument], {
    execArgv: [],
    env: {
      PATH: process.env['PATH'],
      TENANT_DATABASE_URL: `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${proxy.port}/${database}`,
      TENANT_CATALOG_DB: installation.catalog.databaseName,
      TENANT_DB_PREFIX: installation.prefix,
      TENANT_SECRET: installation.secret.toString('hex'),
      TENANT_SCHEMA_DIR: installation.schemaDir,
      ...settings,
    },
  })
  return { child, proxy }
}
