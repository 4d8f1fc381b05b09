import { invalidArchive, partName } from './manifest.js'

// The form of an archive in a stream: the header, then frames. A frame is one byte (its kind), four bytes (the length of what
// follows, big-endian) and that. A part is a frame with its name and frames with its bytes. The manifest follows the parts,
// because it has their hashes; then the end, without which the stream is cut.

export const streamHeader = 'tenants2fast backup stream 1\n'
export const frameKinds = { part: 1, data: 2, manifest: 3, end: 4 } as const
const maxFrame = 64 * 1024 * 1024

/** One frame. */
export function encodeFrame(kind: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt8(kind, 0)
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** A frame that was read. */
export type Frame =
  | { readonly kind: 'part'; readonly name: string }
  | { readonly kind: 'data'; readonly bytes: Buffer }
  | { readonly kind: 'manifest'; readonly json: string }

/**
 * Reads the frames of a stream.
 *
 * @throws {@link TenancyError} TENANCY_BACKUP_INVALID: no such stream, or it is cut
 */
export async function* readFrames(stream: AsyncIterable<Buffer | string>): AsyncGenerator<Frame, void, undefined> {
  const reader = new ByteReader(stream)
  const header = await reader.take(streamHeader.length)
  if (header?.toString('latin1') !== streamHeader) throw invalidArchive('it is no backup stream of tenants2fast')
  for (;;) {
    const head = await reader.take(5)
    if (head === undefined) throw invalidArchive('the stream is cut')
    const [kind, length] = [head.readUInt8(0), head.readUInt32BE(1)]
    if (length > maxFrame) throw invalidArchive('the stream is damaged')
    const bytes = await reader.take(length)
    if (bytes === undefined) throw invalidArchive('the stream is cut')
    if (kind === frameKinds.end) return
    if (kind === frameKinds.data) yield { kind: 'data', bytes }
    else if (kind === frameKinds.manifest) yield { kind: 'manifest', json: bytes.toString() }
    else if (kind === frameKinds.part && partName.test(bytes.toString())) yield { kind: 'part', name: bytes.toString() }
    else throw invalidArchive('the stream is damaged')
  }
}

/** Takes bytes off a stream in pieces of a wanted length. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer | string>
  #rest: Buffer = Buffer.alloc(0)

  constructor(stream: AsyncIterable<Buffer | string>) {
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  /** Undefined: the stream ends before. */
  async take(length: number): Promise<Buffer | undefined> {
    const parts = [this.#rest]
    let have = this.#rest.length
    while (have < length) {
      const next = await this.#chunks.next()
      if (next.done === true) return undefined
      const chunk = Buffer.from(next.value)
      parts.push(chunk)
      have += chunk.length
    }
    const all = parts.length === 1 ? this.#rest : Buffer.concat(parts)
    this.#rest = all.subarray(length)
    return all.subarray(0, length)
  }
}
