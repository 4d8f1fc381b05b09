import { createClient } from 'redis'

/** An attacker that has access to Redis, and to nothing else. */
export interface RedisIntruder {
  /** Keys with this prefix, sorted. */
  keys(prefix: string): Promise<string[]>
  read(key: string): Promise<Buffer>
  write(key: string, value: string | Buffer): Promise<void>
  send(...command: string[]): Promise<unknown>
  close(): void
}

/** Connects to Redis, without the secrets of the installation. */
export async function openRedisIntruder(url: string): Promise<RedisIntruder> {
  const { RESP_TYPES } = await import('redis')
  const client = createClient({ url })
  await client.connect()
  return {
    async keys(prefix) {
      const found: string[] = []
      for await (const batch of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 1000 })) found.push(...batch)
      return found.toSorted()
    },
    read: (key) => client.sendCommand<Buffer>(['GET', key], { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } }),
    async write(key, value) {
      await client.sendCommand(['SET', key, value])
    },
    send: (...command) => client.sendCommand(command),
    close: () => client.destroy(),
  }
}
