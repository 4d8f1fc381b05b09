import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { type Check, type Finding, ok, problem, skipped, warning } from '../../check.js'
import type { DoctorContext } from '../../context.js'
import { isLoopback } from './secrets.js'

const gigabyte = 1024 ** 3

/** The server's disk has room, where it can be seen from here. */
export const disk: Check = {
  name: 'disk',
  async run(context) {
    const { server, dataDir } = context.config()
    const folder = server === undefined ? dataDir : isLoopback(server.host) ? await dataDirectory(context) : undefined
    if (folder === undefined || !existsSync(folder)) return skipped('The server’s disk cannot be seen from here')
    const { bavail, blocks, bsize } = await statfs(folder)
    return judgeSpace({ freeBytes: bavail * bsize, totalBytes: blocks * bsize })
  },
}

/** Judges the space of a file system. A tenant's database takes about 8 MB when it is new. */
export function judgeSpace({
  freeBytes,
  totalBytes,
}: {
  readonly freeBytes: number
  readonly totalBytes: number
}): Finding {
  const percent = Math.floor((freeBytes / totalBytes) * 100)
  const what = `${(freeBytes / gigabyte).toFixed(1)} GB are free on the server’s disk (${percent} %)`
  const advice = 'Make room: PostgreSQL stops when it cannot write its log'
  if (freeBytes < gigabyte || percent < 3) return problem(what, advice)
  return percent < 10 ? warning(what, advice) : ok(what)
}

/** Needs a superuser, or pg_read_all_settings. */
async function dataDirectory(context: DoctorContext): Promise<string | undefined> {
  const { client } = await context.server()
  const { rows } = await client
    .query<{ folder: string }>("select current_setting('data_directory') as folder")
    .catch(() => ({ rows: [] }))
  return rows[0]?.folder
}
