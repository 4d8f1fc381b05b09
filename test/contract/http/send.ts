import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import type { ServedApplication } from './driver.js'

/** An answer. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The code of a problem document. Undefined: it is none. */
  readonly code: string | undefined
  // oxlint-disable-next-line typescript/no-explicit-any -- a document of any shape, which each test knows
  readonly json: any
}

/** A request. */
export interface Ask {
  readonly token?: string | undefined
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: unknown
}

/** Sends a request, `'GET /reports'`, on a connection of its own. */
export async function send(
  app: ServedApplication,
  target: string,
  { token, headers, body }: Ask = {},
): Promise<Answer> {
  const [method = 'GET', path = '/'] = target.split(' ')
  const outgoing = httpRequest({
    port: app.port,
    ...{ method, path, agent: false },
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(headers as Record<string, string | string[]>),
    },
  })
  outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  const text = (await response.setEncoding('utf8').toArray()).join('')
  const json = jsonOf(text)
  const code = response.headers['content-type']?.startsWith('application/problem+json') ? json?.code : undefined
  return { status: response.statusCode ?? 0, headers: response.headers, text, code, json }
}

// oxlint-disable-next-line typescript/no-explicit-any -- see Answer
function jsonOf(text: string): any {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Writes a request to the socket as it is, and gives the whole answer. Most clients would clean it up. */
export async function sendRaw(app: ServedApplication, text: string): Promise<string> {
  const socket = connect(app.port, '127.0.0.1')
  socket.write(text, 'latin1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}
