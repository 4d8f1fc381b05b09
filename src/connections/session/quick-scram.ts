import type pg from 'pg'
import { hmacSha256, scramKeys } from '../../postgres/scram.js'

/** Up to here the password is stretched sooner than it is handed to another thread and back. */
const fewIterations = 64

/** The server says how long the password is to be stretched, and a tenant's role may have told it: PostgreSQL's default. */
export const scramMaxIterations = 4096

/** What `pg` knows of a login and its types do not say. */
interface LoginInternals {
  readonly password: unknown
  readonly saslSession: {
    readonly mechanism: string
    message: string
    response: string
    serverSignature: string
  }
  readonly connection: { sendSCRAMClientFinalMessage(response: string): void; emit(event: 'error', error: Error): void }
  _handleAuthSASLContinue(message: { readonly data: unknown }): unknown
}

/**
 * Lets a client prove its password at once where `pg` makes each of five small hashes a job for another thread: that was a
 * fifth of this process's time per connection. Whatever is not the plain case is left to `pg`, errors included; it also
 * checks the server's own proof, as ever.
 */
export function useQuickScram(client: pg.Client): void {
  const internals = client as unknown as LoginInternals
  const asPgDoes = internals._handleAuthSASLContinue.bind(client)
  internals._handleAuthSASLContinue = (message) => {
    const { saslSession: session, password, connection } = internals
    const isPlain = session.mechanism === 'SCRAM-SHA-256' && session.message === 'SASLInitialResponse'
    const answer = isPlain ? answerScram(password, session.response, message.data) : undefined
    // Older copies of pg stretch for as long as they are told to.
    if (answer === undefined && iterationsOf(message.data) > scramMaxIterations) {
      return connection.emit('error', new Error(`The server asks for more than ${scramMaxIterations} SCRAM iterations`))
    }
    if (answer === undefined) return asPgDoes(message)
    Object.assign(session, answer, { message: 'SASLResponse' })
    return connection.sendSCRAMClientFinalMessage(answer.response)
  }
}

function iterationsOf(serverFirst: unknown): number {
  return typeof serverFirst === 'string' ? Number(/(?:^|,)i=(\d+)/.exec(serverFirst)?.[1] ?? 0) : 0
}

/** The client's last word, and what the server's has to be. */
export interface ScramAnswer {
  readonly response: string
  /** Base64. */
  readonly serverSignature: string
}

/**
 * SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), from the first messages of both sides.
 *
 * @returns undefined for what is better left to `pg`: a password that SASLprep may change, a message that is not as it
 *   should be, more than `maxIterations` (default 64)
 */
export function answerScram(
  password: unknown,
  clientFirst: string,
  serverFirst: unknown,
  maxIterations = fewIterations,
): ScramAnswer | undefined {
  if (typeof password !== 'string' || !/^[\x21-\x7e]+$/.test(password)) return undefined
  if (typeof serverFirst !== 'string') return undefined
  const [, clientBare, clientNonce] = /^n,,(n=[^,]*,r=([^,]+))$/.exec(clientFirst) ?? []
  const [, nonce, salt, count] = serverFirstMessage.exec(serverFirst) ?? []
  if (clientBare === undefined || clientNonce === undefined) return undefined
  if (nonce === undefined || salt === undefined || !nonce.startsWith(clientNonce)) return undefined
  const iterations = Number(count)
  if (nonce.length === clientNonce.length || iterations > maxIterations) return undefined

  const withoutProof = `c=${withoutChannelBinding},r=${nonce}`
  const messages = `${clientBare},${serverFirst},${withoutProof}`
  const { clientKey, storedKey, serverKey } = scramKeys(password, Buffer.from(salt, 'base64'), iterations)
  const clientSignature = hmacSha256(storedKey, messages)
  const proof = clientKey.map((byte, index) => byte ^ (clientSignature[index] ?? 0))
  return {
    response: `${withoutProof},p=${Buffer.from(proof).toString('base64')}`,
    serverSignature: hmacSha256(serverKey, messages).toString('base64'),
  }
}

const serverFirstMessage =
  /^r=([\x21-\x2b\x2d-\x7e]+),s=((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?),i=([1-9]\d{0,6})$/
const withoutChannelBinding = Buffer.from('n,,').toString('base64')
