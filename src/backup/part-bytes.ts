import { createHash } from 'node:crypto'
import { Readable, Transform } from 'node:stream'

/** The size and SHA-256 of bytes that went through. */
export interface Measure {
  readonly through: Transform
  result(): { readonly bytes: number; readonly sha256: string }
}

/** Measures what goes through it. */
export function measure(onBytes?: (count: number) => void): Measure {
  const hash = createHash('sha256')
  let bytes = 0
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      bytes += chunk.length
      onBytes?.(chunk.length)
      done(null, chunk)
    },
  })
  return { through, result: () => ({ bytes, sha256: hash.digest('hex') }) }
}

/** Connects streams one after the other, with errors: whoever reads the last one gets the error of any. */
export function chain(first: Readable, ...others: readonly Transform[]): Readable {
  let last = first
  for (const next of others) {
    const source = last
    source.on('error', (error: Error) => next.destroy(error))
    next.on('close', () => source.destroy())
    last = source.pipe(next)
  }
  return last
}

/** The chunks of a stream, gathered: many small ones would each cost a write and a frame. */
export async function* gathered(bytes: Readable, size = 1 << 18): AsyncGenerator<Buffer, void, undefined> {
  let parts: Buffer[] = []
  let length = 0
  for await (const chunk of bytes) {
    parts.push(Buffer.from(chunk as Uint8Array))
    length += (chunk as Uint8Array).length
    if (length < size) continue
    yield Buffer.concat(parts)
    parts = []
    length = 0
  }
  if (length > 0) yield Buffer.concat(parts)
}
