import { chmod, chown, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ServerAccount } from '../../../src/core/tenants/database-target.js'
import { startEmbeddedServer } from '../../../src/databases/embedded/index.js'
import { chooseRunAs } from '../../../src/databases/embedded/run-as.js'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** A PostgreSQL server that belongs to one test file. */
export interface PrivateEmbedded {
  readonly account: ServerAccount
  /** Its superuser's address, with these parameters behind it. */
  url(parameters?: string): string
  stop(): Promise<void>
}

/** What {@link startPrivateEmbedded} takes besides settings. */
export interface PrivateEmbeddedOptions {
  /** The lines of its pg_hba.conf. Default: SCRAM for everybody. */
  readonly hba?: readonly string[]
  /** Paths of key and certificate for TLS. */
  readonly tls?: { readonly key: string; readonly certificate: string }
}

/** Starts the embedded PostgreSQL in a folder of its own, with settings of postgresql.conf. Call `stop()` when done. */
export async function startPrivateEmbedded(
  settings: Readonly<Record<string, string>> = {},
  { hba, tls }: PrivateEmbeddedOptions = {},
): Promise<PrivateEmbedded> {
  const folder = await mkdtemp(join(tmpdir(), 't2f-private-'))
  await chmod(folder, 0o755)
  const dataDir = join(folder, 'data')
  await mkdir(dataDir)
  const remove = () => rm(folder, { recursive: true, force: true })
  try {
    if (hba !== undefined) {
      await writeFile(join(folder, 'pg_hba.conf'), `${hba.join('\n')}\n`)
    }
    const key = join(folder, 'server.key')
    if (tls !== undefined) {
      // The server wants a key that is its user's, and nobody else's.
      await copyFile(tls.key, key)
      await chmod(key, 0o600)
      const { owner } = chooseRunAs(dataDir)
      if (owner !== undefined) await chown(key, owner.uid, owner.gid)
    }
    const server = await startEmbeddedServer({
      dataDir,
      logger: silent,
      settings: {
        fsync: 'off',
        synchronous_commit: 'off',
        full_page_writes: 'off',
        ...(hba === undefined ? {} : { hba_file: join(folder, 'pg_hba.conf') }),
        ...(tls === undefined ? {} : { ssl: 'on', ssl_key_file: key, ssl_cert_file: tls.certificate }),
        ...settings,
      },
    })
    const { user, password, port } = server.account
    return {
      account: server.account,
      url: (parameters = '') => `postgres://${user}:${password}@127.0.0.1:${port}/postgres${parameters}`,
      async stop() {
        await server.stop()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}
