// A process that starts the embedded server and follows the messages of its parent: `node embedded-main.js DATA_DIR`.
import { startEmbeddedServer, type EmbeddedServer } from '../../../src/databases/embedded/supervisor.js'
import { findTenancyError } from '../../../src/core/errors/errors.js'

let server: EmbeddedServer | undefined
process.on('message', (message) => {
  if (message === 'exit') process.exit(0)
  if (message === 'stop') void server?.stop().then(() => process.send?.('stopped'))
})
try {
  server = await startEmbeddedServer({ dataDir: process.argv[2] ?? '', settings: { fsync: 'off' } })
  process.send?.({ account: server.account, adopted: server.adopted, pid: server.pid })
} catch (error) {
  process.send?.({ code: findTenancyError(error)?.code, message: String(error) })
}
