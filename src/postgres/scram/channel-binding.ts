import type { EventEmitter } from 'node:events'
import type { ServerAddress } from '../../core/tenants/database-target.js'

const bound = 'SCRAM-SHA-256-PLUS'

/** Parts of a client of `pg` that its types do not show. */
interface ClientInternals {
  readonly saslSession?: object | null
  readonly connection: EventEmitter & { readonly stream: { destroy(): unknown } }
}

/**
 * Makes a client of `pg` keep to `channel_binding=require`: it logs in by SCRAM-SHA-256-PLUS (RFC 5802, RFC 5929), or not at
 * all. A proxy in between cannot pass such a login on, even with a trusted certificate. By itself, `pg` uses it where it is
 * offered and otherwise accepts other methods. Does nothing for other addresses. Call it before `connect`.
 */
export function holdToChannelBinding(client: object, { channelBinding }: Pick<ServerAddress, 'channelBinding'>): void {
  if (channelBinding !== 'require') return
  const internals = client as ClientInternals
  const { connection } = internals
  let proved = false
  const refuse = (reason: string): void => {
    // An answer that the server has sent already must not count as a login.
    connection.removeAllListeners('readyForQuery')
    connection.emit('error', new Error(`channel_binding=require, and the server ${reason}`))
    connection.stream.destroy()
  }
  // These listeners run before those of `pg`, which `connect` adds: `pg` chooses from what they leave in the list.
  connection.on('authenticationSASL', (message: { mechanisms: string[] }) => {
    message.mechanisms = message.mechanisms.filter((mechanism) => mechanism === bound)
    if (message.mechanisms.length === 0) refuse('does not offer it')
  })
  for (const event of ['authenticationCleartextPassword', 'authenticationMD5Password']) {
    connection.on(event, () => refuse('asks for a password in another way'))
  }
  connection.on('authenticationSASLFinal', () => {
    proved = true
  })
  connection.on('authenticationOk', () => {
    // The SASL session is still there when the server's own proof failed.
    if (!proved || internals.saslSession != null) refuse('has not proved that it knows the password')
  })
}

/** Makes a class of clients that keep to `channel_binding=require` if the address says so: pools create their own clients. */
export function clientOf<Client extends new (...input: never[]) => object>(
  Client: Client,
  address: ServerAddress,
): Client {
  if (address.channelBinding !== 'require') return Client
  // oxlint-disable-next-line typescript/no-explicit-any -- the constructor of a mixin has to take it
  const Base = Client as unknown as new (...input: any[]) => object
  return class extends Base {
    // oxlint-disable-next-line typescript/no-explicit-any
    constructor(...input: any[]) {
      super(...input)
      holdToChannelBinding(this, address)
    }
  } as unknown as Client
}
