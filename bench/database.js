// A PostgreSQL for a benchmark: an embedded one in a folder of its own, durable as in production, removed afterwards.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedServer } from '../dist/databases/embedded/supervisor.js'

/**
 * @template Result
 * @param {(url: string) => Promise<Result>} work given the URL of a superuser
 * @param {Record<string, string>} [settings] of the server
 * @returns {Promise<Result>}
 */
export async function withServer(work, settings) {
  const dataDir = mkdtempSync(join(tmpdir(), 't2f-bench-'))
  const server = await startEmbeddedServer({ dataDir, settings })
  try {
    const { user, password, host, port, database } = server.account
    return await work(`postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`)
  } finally {
    await server.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}
