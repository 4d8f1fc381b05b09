import { Readable } from 'node:stream'
import { invalidArchive } from './manifest.js'

/** The rows of one table in a dump. */
export interface DumpedTable {
  /** The statement before them, `COPY … FROM stdin;`. */
  readonly statement: string
  readonly rows: Readable
}

const maxLine = 1024 * 1024
const endOfRows = Buffer.from('\\.\n')

/**
 * Finds the rows of tables in the script that `pg_restore` makes of a dump. The script is never run: whoever changed a dump could
 * write any SQL into it. Only lines `COPY … FROM stdin;` count, and the rows after them, which the caller loads with a
 * statement of its own; everything else is passed over. Each table's rows have to be read to their end
 * before the next one comes.
 *
 * @throws {@link TenancyError} TENANCY_BACKUP_INVALID: the script is cut
 */
export async function* readDumpScript(script: AsyncIterable<Buffer>): AsyncGenerator<DumpedTable, void, undefined> {
  let rest: Buffer = Buffer.alloc(0)
  const chunks = script[Symbol.asyncIterator]()
  const more = async (): Promise<boolean> => {
    const next = await chunks.next()
    if (next.done === true) return false
    rest = rest.length === 0 ? next.value : Buffer.concat([rest, next.value])
    return true
  }

  let isOver = true
  /** The rows until the line that ends them. */
  async function* rowsOfTable(): AsyncGenerator<Buffer, void, undefined> {
    let isLineStart = true
    for (;;) {
      const end = endOf(rest, isLineStart)
      if (end >= 0) {
        const last = rest.subarray(0, end)
        rest = rest.subarray(end + endOfRows.length)
        isOver = true
        if (last.length > 0) yield last
        return
      }
      // What could be the beginning of the end stays.
      const passed = rest.subarray(0, Math.max(0, rest.length - endOfRows.length))
      rest = rest.subarray(passed.length)
      if (passed.length > 0) {
        isLineStart = passed.at(-1) === 10
        yield passed
      }
      if (!(await more())) throw invalidArchive('the dump ends in the middle of a table')
    }
  }

  for (;;) {
    const lineEnd = rest.indexOf(10)
    if (lineEnd < 0) {
      if (rest.length > maxLine) throw invalidArchive('the dump has a line that is too long')
      if (await more()) continue
      return
    }
    const line = rest.subarray(0, lineEnd).toString()
    rest = rest.subarray(lineEnd + 1)
    if (!line.startsWith('COPY ') || !line.endsWith(' FROM stdin;')) continue
    isOver = false
    yield { statement: line, rows: Readable.from(rowsOfTable(), { objectMode: false, highWaterMark: 1 << 18 }) }
    if (!isOver) throw new Error('the rows of a table were not read to their end')
  }
}

/** Where the line `\.` begins; -1: it is not there. */
function endOf(bytes: Buffer, isLineStart: boolean): number {
  for (let from = 0; ;) {
    const at = bytes.indexOf(endOfRows, from)
    if (at < 0) return -1
    if (at === 0 ? isLineStart : bytes[at - 1] === 10) return at
    from = at + 1
  }
}
