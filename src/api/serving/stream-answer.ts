import { answerStream } from '../../http/messages/answers.js'
import type { Operation, StreamedAnswer } from '../operation.js'

/** Media types of streamed answers. */
export const streamTypes = { lines: 'application/x-ndjson', bytes: 'application/octet-stream' } as const

const chunkBytes = 65_536

/**
 * Answers with what is read while it is sent.
 *
 * @param onFailure is told when it cannot be read to the end
 */
export function respondStream(
  operation: Operation,
  { status = operation.answer.status as 200, headers: own = {}, read }: StreamedAnswer,
  limits: Readonly<Record<string, string>>,
  onFailure: (error: unknown) => void,
): Response {
  const { stream = 'bytes' } = operation.answer
  const headers = { 'content-type': streamTypes[stream], ...own, ...limits }
  const chunks = stream === 'bytes' ? (read as StreamedAnswer<Uint8Array>['read']) : () => linesOf(operation, read())
  return answerStream(status, headers, { read: chunks, onFailure })
}

/** One document a line, some lines a chunk: only what the schema has, so that nothing leaves by accident. */
async function* linesOf({ answer: { schema } }: Operation, items: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  let text = ''
  for await (const item of items) {
    text += `${JSON.stringify(schema?.parse(item))}\n`
    if (text.length < chunkBytes) continue
    yield Buffer.from(text)
    text = ''
  }
  if (text !== '') yield Buffer.from(text)
}
