/** One connection to Redis that is asked a few questions. Its errors are Redis's and the network's own. */
export interface RedisProbe {
  /** Fields of `INFO`, by name. */
  info(): Promise<ReadonlyMap<string, string>>
  /** The clock of Redis, milliseconds since 1970. */
  timeMs(): Promise<number>
  close(): void
}

const connectTimeoutMs = 3000

/** Connects to Redis by the package `redis`, an optional peer. */
export async function openRedisProbe(url: string): Promise<RedisProbe> {
  const { createClient } = await import('redis')
  const client = createClient({
    url,
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
    socket: { connectTimeout: connectTimeoutMs, reconnectStrategy: false },
  })
  // Each command reports its failure itself.
  client.on('error', () => {})
  await client.connect()
  return {
    async info() {
      const text = await client.sendCommand<string>(['INFO'])
      const fields = text.split('\r\n').filter((line) => /^\w+:/.test(line))
      return new Map(fields.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]))
    },
    async timeMs() {
      const [seconds, microseconds] = await client.sendCommand<[string, string]>(['TIME'])
      return Number(seconds) * 1000 + Number(microseconds) / 1000
    },
    close: () => client.destroy(),
  }
}
