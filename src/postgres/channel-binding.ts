import type { EventEmitter } from 'node:events'
import type { ServerAddress } from '../core/tenants/database-target.js'

const bound = 'SCRAM-SHA-256-PLUS'

/** What `pg` has in a client and its types do not show. */
interface ClientInternals {
  readonly saslSession?: object | null
  readonly connection: EventEmitter & { readonly stream: { destroy(): unknown } }
}

/**
 * Holds a client of `pg` to `channel_binding=require`: it logs in by SCRAM-SHA-256-PLUS (RFC 5802, RFC 5929), or not at all.
 * Whoever stands in between, even with a certificate that is trusted, can't pass such a login on. `pg` by itself uses it
 * where it is offered, and takes what else is offered. Does nothing for other addresses. Call before `connect`.
 */
export function holdToChannelBinding(client: object, { channelBinding }: Pick<ServerAddress, 'channelBinding'>): void {
  if (channelBinding !== 'require') return
  const internals = client as ClientInternals
  const { connection } = internals
  let proved = false
  const refuse = (reason: string): void => {
    // What the server has sent already must not count as a login.
    connection.removeAllListeners('readyForQuery')
    connection.emit('error', new Error(`channel_binding=require, and the server ${reason}`))
    connection.stream.destroy()
  }
  // These come before the listeners of `pg`, which `connect` adds. What is left of the list is all that `pg` may choose from.
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
    // A session is left when the server's own proof did not hold.
    if (!proved || internals.saslSession != null) refuse('has not proved that it knows the password')
  })
}

/** A class of clients held to `channel_binding=require` if the address says so, for pools, which make their own. */
export function clientOf<Client extends new (...input: never[]) => object>(
  Client: Client,
  address: ServerAddress,
): Client {
  if (address.channelBinding !== 'require') return Client
  // oxlint-disable-next-line typescript/no-explicit-any -- what a mixin's constructor has to take
  const Base = Client as unknown as new (...input: any[]) => object
  return class extends Base {
    // oxlint-disable-next-line typescript/no-explicit-any
    constructor(...input: any[]) {
      super(...input)
      holdToChannelBinding(this, address)
    }
  } as unknown as Client
}
