import { createHash } from 'node:crypto'
import type { ApiRequest } from '../../http/http-tenancy.js'
import { refuseMethod } from '../serving/route-table.js'

/** A file that anybody may read. */
export interface PublicFile {
  /** Where it is served. */
  readonly path: string
  /** Its `Content-Type`. */
  readonly type: string
  readonly content: string | Buffer
  /** Further headers. Default: none. */
  readonly headers?: Readonly<Record<string, string>>
}

/** Answers requests for files; undefined: there is none at the path. */
export type PublicFiles = (request: ApiRequest, path: string) => Response | undefined

/**
 * Serves files from memory. Paths are compared as they are in the request line, and nothing is looked up on the disk. A browser
 * asks again each time, and is told when it has the file already (RFC 9110, 13.1.2).
 */
export function createPublicFiles(files: readonly PublicFile[]): PublicFiles {
  const known = new Map(files.map((file) => [file.path, { file, tag: tagOf(file.content) }]))
  return (request, path) => {
    const found = known.get(path)
    if (found === undefined) return undefined
    const { file, tag } = found
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw refuseMethod(['GET'])
    }
    const headers = {
      ...{ 'content-type': file.type, etag: tag, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' },
      ...file.headers,
    }
    if (isKnown(request.headers.get('if-none-match'), tag)) return new Response(null, { status: 304, headers })
    return new Response(bytesOf(file.content), { headers })
  }
}

const tagOf = (content: string | Buffer) => `"${createHash('sha256').update(content).digest('base64url')}"`

// A response takes no view of memory that may be shared, which the type of a Buffer allows.
const bytesOf = (content: string | Buffer) => (typeof content === 'string' ? content : new Uint8Array(content))

function isKnown(header: string | null, tag: string): boolean {
  return (header ?? '').split(',').some((each) => each.trim().replace(/^W\//, '') === tag)
}
