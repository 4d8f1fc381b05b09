import { TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'

/** A command of Redis and its arguments. */
export type RedisCommand = readonly (string | Buffer)[]

/** One connection to Redis that is opened again when it is lost. It never throws. */
export interface RedisConnection {
  /** False while there is no connection; one that does not answer is paused for a while. */
  readonly isOpen: boolean
  /** Answers that came too late, connections that were lost, and refusals. */
  readonly failures: number
  /**
   * Sends a command. The answer is a buffer where Redis gives a string, an error where the key holds something of another
   * type than the command is for or the account may not send it, and undefined when there is none in time.
   */
  send(command: RedisCommand): Promise<unknown>
  close(): void
}

/** What {@link createRedisConnection} needs. */
export interface RedisConnectionOptions {
  readonly url: string
  /** An answer that takes longer is not waited for. */
  readonly timeoutMs: number
  readonly logger: Logger
}

const failuresUntilPause = 5
const pauseMs = 2000
const connectTimeoutMs = 1000
/** Commands without an answer take no more than this; further ones are not sent. */
const maxWaitingBytes = 8 * 1024 * 1024
const firstBackoffMs = 50
const longestBackoffMs = 5000

/**
 * Connects to Redis (package `redis`, an optional peer) in the background. It does not keep the process alive.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export async function createRedisConnection(options: RedisConnectionOptions): Promise<RedisConnection> {
  const { url, timeoutMs, logger } = options
  const { createClient, ErrorReply, RESP_TYPES } = await import('redis').catch((cause: unknown) => {
    throw new TenancyError(
      'TENANCY_CONFIG_PEER_MISSING',
      'TENANT_REDIS_URL needs the package redis: npm install redis@6',
      { cause },
    )
  })
  const asBuffers = { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } }
  let isClosed = false
  let retry: NodeJS.Timeout | undefined
  let backoffMs = firstBackoffMs
  let waitingBytes = 0
  let failures = 0
  let failuresInARow = 0
  let failedAtMs = Number.NEGATIVE_INFINITY
  let pausedUntilMs = Number.NEGATIVE_INFINITY
  let client = connect()

  /** One client for each connection: the package's own reconnecting cannot be stopped while it waits or connects. */
  function connect() {
    const made = createClient({
      url,
      RESP: 3,
      // A command for a Redis that is away fails at once instead of waiting for it.
      disableOfflineQueue: true,
      commandsQueueMaxLength: 10_000,
      // A server must not be able to redirect us to another address.
      maintNotifications: 'disabled',
      socket: { connectTimeout: connectTimeoutMs, reconnectStrategy: false },
    })
    made.unref()
    made.on('error', fail)
    made.on('ready', () => {
      backoffMs = firstBackoffMs
    })
    // close() was called while it connected: only now there is a socket to destroy.
    made.on('connect', () => isClosed && made.destroy())
    made.on('terminated', () => reconnect(made))
    // Not awaited: a process starts without its Redis and connects later.
    made.connect().catch(() => reconnect(made))
    return made
  }

  function reconnect(lost: typeof client): void {
    connectIn(backoffMs, lost)
    backoffMs = Math.min(2 * backoffMs, longestBackoffMs)
  }

  function connectIn(delayMs: number, lost: typeof client): void {
    if (isClosed || lost !== client || retry !== undefined) return
    retry = setTimeout(() => {
      retry = undefined
      client = connect()
    }, delayMs)
    retry.unref()
  }

  function fail(error: unknown): void {
    if (isClosed) return
    const nowMs = performance.now()
    // Commands that wait together time out together: that counts as one failure.
    if (nowMs - failedAtMs < timeoutMs / 2 || nowMs < pausedUntilMs) return
    failedAtMs = nowMs
    failures += 1
    failuresInARow += 1
    if (failuresInARow < failuresUntilPause) return
    pausedUntilMs = nowMs + pauseMs
    // Rejects the waiting commands, too. A silent connection may never report its end.
    client.destroy()
    connectIn(pauseMs, client)
    logger.warn({ err: error }, 'Redis does not answer; members are read, and requests counted, in the catalog')
  }

  return {
    get isOpen() {
      return client.isReady
    },
    get failures() {
      return failures
    },
    async send(command) {
      const bytes = command.reduce((sum, part) => sum + Buffer.byteLength(part), 0)
      if (waitingBytes + bytes > maxWaitingBytes) return undefined
      waitingBytes += bytes
      const sent = client.sendCommand<unknown>(command, asBuffers).finally(() => {
        waitingBytes -= bytes
      })
      let timer: NodeJS.Timeout | undefined
      try {
        const answer = await Promise.race([
          sent,
          new Promise<never>((_, reject) => {
            const giveUp = () => reject(new Error(`Redis took longer than ${timeoutMs} ms`))
            // When this process was busy for that long, the answer has arrived by now and comes before the immediate.
            timer = setTimeout(() => setImmediate(giveUp), timeoutMs)
          }),
        ])
        failuresInARow = 0
        return answer
      } catch (error) {
        if (error instanceof ErrorReply && /^(?:WRONGTYPE|NOPERM) /.test(error.message)) return error
        fail(error)
        return undefined
      } finally {
        clearTimeout(timer)
      }
    },
    close() {
      isClosed = true
      clearTimeout(retry)
      client.destroy()
    },
  }
}
