import type { ByteRange } from '../../core/backup/exports.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { RangeHeaders, StreamedAnswer } from '../operation.js'

/** A file to send, whole or in part. */
export interface SentFile {
  readonly bytes: number
  /** SHA-256 of the whole, in hex: its tag. */
  readonly sha256: string
  /** Of the download, for browsers: ASCII without quotes. */
  readonly name: string
  readonly read: (range: ByteRange) => AsyncIterable<Uint8Array>
}

const pattern = /^bytes=[ \t]*(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))[ \t]*$/

/**
 * Finds the part of a file that a request is for (RFC 9110, 14.1.2 and 14.2). A range that cannot be read, and more than one, is
 * ignored, as it may be; so is one whose `If-Range` is another tag.
 *
 * @returns undefined: the whole file
 * @throws {@link TenancyError} TENANCY_REQUEST_RANGE_UNSATISFIABLE
 */
export function readRange({ range, ifRange }: RangeHeaders, bytes: number, tag: string): ByteRange | undefined {
  if (range === undefined || (ifRange !== undefined && ifRange !== tag)) return undefined
  const [, first, last, suffix] = pattern.exec(range) ?? []
  if (first === undefined && suffix === undefined) return undefined
  const start = first === undefined ? Math.max(0, bytes - Number(suffix)) : Number(first)
  const end = last === undefined || last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1)
  // The last position before the first: no range at all.
  if (first !== undefined && last !== undefined && last !== '' && Number(last) < start) return undefined
  if (start >= bytes) throw new TenancyError('TENANCY_REQUEST_RANGE_UNSATISFIABLE', undefined, { completeBytes: bytes })
  return { start, end }
}

/** Answers with a file, or with the part that the request asks for: a download that broke off goes on where it was. */
export function sendFile(headers: RangeHeaders, { bytes, sha256, name, read }: SentFile): StreamedAnswer<Uint8Array> {
  const etag = `"${sha256}"`
  const range = readRange(headers, bytes, etag)
  const { start, end } = range ?? { start: 0, end: bytes - 1 }
  return {
    status: range === undefined ? 200 : 206,
    headers: {
      etag,
      'accept-ranges': 'bytes',
      // A proxy that compressed it would break the ranges.
      'cache-control': 'no-store, no-transform',
      'content-disposition': `attachment; filename="${name}"`,
      'content-length': String(end - start + 1),
      // Of the whole file (RFC 9530).
      'repr-digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
      ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${bytes}` }),
    },
    read: () => read({ start, end }),
  }
}
