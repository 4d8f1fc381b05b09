import type pg from 'pg'
import { hmacSha256, scramKeys } from '../../postgres/scram/scram.js'
import { internalsOf } from './client/client-internals.js'

/** Up to this number, to stretch the password takes less time than to hand it to another thread and back. */
const fewIterations = 64

/**
 * PostgreSQL's default. The server says how often to stretch the password, and a tenant's role may have told it a
 * number.
 */
export const scramMaxIterations = 4096

/**
 * Lets a client prove its password at once. `pg` makes each of five small hashes a job for another thread, which was a
 * fifth of this process's time per connection. All but the plain case is left to `pg`, errors included. `pg` also still
 * checks the server's own proof.
 *
 * @param followUp sends what the server shall read next, in the same packet
 */
export function useQuickScram(client: pg.Client, followUp: () => void = () => {}): void {
  const internals = internalsOf(client)
  const asPgDoes = internals._handleAuthSASLContinue.bind(client)
  internals._handleAuthSASLContinue = (message) => {
    const { saslSession: session, password, connection } = internals
    // A challenge before or after its time: in `pg`, an exception would end the process.
    if (session == null) return connection.emit('error', new Error('The server sent a SCRAM challenge out of turn'))
    const isPlain = session.mechanism === 'SCRAM-SHA-256' && session.message === 'SASLInitialResponse'
    const answer = isPlain ? answerScram(password, session.response, message.data) : undefined
    // Older copies of pg stretch for as long as they are told to.
    if (answer === undefined && iterationsOf(message.data) > scramMaxIterations) {
      return connection.emit('error', new Error(`The server asks for more than ${scramMaxIterations} SCRAM iterations`))
    }
    if (answer === undefined) return asPgDoes(message)
    Object.assign(session, answer, { message: 'SASLResponse' })
    connection.stream.cork()
    connection.sendSCRAMClientFinalMessage(answer.response)
    followUp()
    connection.stream.uncork()
    return undefined
  }
}

function iterationsOf(serverFirst: unknown): number {
  return typeof serverFirst === 'string' ? Number(/(?:^|,)i=(\d+)/.exec(serverFirst)?.[1] ?? 0) : 0
}

/** The client's final message, and the signature that the server's has to carry. */
export interface ScramAnswer {
  readonly response: string
  /** Base64. */
  readonly serverSignature: string
}

/**
 * SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), from the first messages of both sides.
 *
 * @returns undefined for what is left to `pg`: a password that SASLprep may change, a message in an unexpected form, more
 *   than `maxIterations` (default 64)
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
