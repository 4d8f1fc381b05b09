import { Readable } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readDumpScript } from '../../src/backup/dump-script.js'

const read = async (script: Buffer, cuts: readonly number[]) => {
  const chunks: Buffer[] = []
  let from = 0
  for (const cut of [...cuts.map((place) => place % (script.length + 1)), script.length].toSorted((a, b) => a - b)) {
    chunks.push(script.subarray(from, cut))
    from = cut
  }
  const tables: [string, string][] = []
  for await (const { statement, rows } of readDumpScript(Readable.from(chunks))) {
    const parts: Buffer[] = []
    for await (const part of rows) parts.push(part as Buffer)
    tables.push([statement, Buffer.concat(parts).toString()])
  }
  return tables
}

// Lines of COPY's text format: no line is the end mark, however much of it they hold.
const row = fc
  .array(fc.constantFrom('a', '\\\\', '.', '\t', '\\N', 'COPY x FROM stdin;', '\\.', 'é'), { maxLength: 4 })
  .map((pieces) => pieces.join(''))
  .filter((line) => line !== '\\.')

test('rows come as they are in the script, however it is cut into chunks', async () => {
  const table = fc.tuple(fc.constantFrom('COPY "a"."b" ("c") FROM stdin;', 'COPY "d"."e"  FROM stdin;'), fc.array(row))
  const property = fc.asyncProperty(fc.array(table), fc.array(fc.nat()), async (tables, cuts) => {
    const script = tables
      .map(
        ([statement, rows]) =>
          `--\nSELECT 1;\n\\restrict x\n${statement}\n${rows.map((one) => `${one}\n`).join('')}\\.\n\n`,
      )
      .join('')
    const wanted = tables.map(([statement, rows]) => [statement, rows.map((one) => `${one}\n`).join('')])
    expect(await read(Buffer.from(script), cuts)).toEqual(wanted)
  })
  await fc.assert(property, { numRuns: 300 })
})

test('a script that ends in the middle of a table is refused', async () => {
  await expect(read(Buffer.from('COPY "a"."b" FROM stdin;\nx\n'), [])).rejects.toMatchObject({
    code: 'TENANCY_BACKUP_INVALID',
  })
})
