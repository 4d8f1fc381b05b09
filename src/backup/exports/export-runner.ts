import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import { PassThrough } from 'node:stream'
import type { BackupReport, Backups } from '../../core/backup/backup.js'
import { archiveKey, type ExportJob, type ExportJobs } from '../../core/backup/export-ports.js'
import type { ExportStorage } from '../../core/backup/exports.js'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'

/** What {@link createExportRunner} needs. */
export interface ExportRunnerParts {
  readonly jobs: ExportJobs
  readonly storage: ExportStorage
  readonly backup: Backups['backup']
  readonly logger: Logger
  readonly maxRunning: number
  /** Infinity: no limit. */
  readonly maxBytes: number
  /** A process that is silent for that long has lost its job. Default: 30000. */
  readonly leaseMs?: number
  /** Time between two renewals of a job, milliseconds. Default: 5000. */
  readonly renewMs?: number
  /** Time between two looks for work, milliseconds. Default: 5000. */
  readonly pollMs?: number
  /** Time between two removals of what is expired, milliseconds. Default: 60000. */
  readonly sweepMs?: number
}

/** Works on exports in the background, one at a time. */
export interface ExportRunner {
  /** Looks for work now. */
  wake(): void
  /** Ends the work on an export that was deleted. */
  cancel(id: string): void
  /** Removes what is expired, and archives that belong to no export. Fails when the storage does. */
  sweep(): Promise<void>
  /** Gives the job back that is under way, and ends. */
  close(): Promise<void>
}

/** The job is another one's now, or nobody's. */
const lost = new Error('the job was cancelled or taken over')

/** Starts to work on exports. Its timers do not keep the process alive. */
export function createExportRunner(parts: ExportRunnerParts): ExportRunner {
  const { jobs, storage, logger, leaseMs = 30_000, renewMs = 5000, pollMs = 5000, sweepMs = 60_000 } = parts
  let current: { readonly id: string; readonly stop: AbortController } | undefined
  let working: Promise<void> | undefined
  let sweeping: Promise<void> | undefined
  // The work belongs to nobody's request, whoever's asked for it.
  const outside = AsyncLocalStorage.snapshot()
  let isAskedAgain = false
  let isClosed = false

  async function workOn(job: ExportJob): Promise<void> {
    const stop = new AbortController()
    current = { id: job.id, stop }
    const stopRenewing = keepJob(job, stop)
    let isMade = false
    try {
      const { report, bytes, sha256 } = await makeArchive(parts, job, stop.signal)
      isMade = true
      const result = { takenAt: report.takenAt, rows: report.rows, bytes, sha256 }
      if (!(await jobs.finish(job, result))) throw lost
    } catch (error) {
      // The catalog may have written that the export is ready, and only its answer was lost: a sweep knows.
      const mayBeReady = isMade && error !== lost
      // Otherwise nobody will read it. If this fails, a sweep removes it.
      if (!mayBeReady) await storage.remove(archiveKey(job)).catch(() => {})
      if (error === lost || stop.signal.reason === lost) return
      if (isClosed) await jobs.giveBack(job)
      else {
        const code = findTenancyError(error)?.code ?? 'TENANCY_BACKUP_FAILED'
        logger.warn({ err: error, export: job.id, tenant: job.tenantId }, 'An export of a tenant failed')
        await jobs.fail(job, code)
      }
    } finally {
      stopRenewing()
      current = undefined
    }
  }

  /** Aborts `stop` when the job is no longer ours: by the catalog's word, or because it has been silent for too long. */
  function keepJob(job: ExportJob, stop: AbortController): () => void {
    let confirmedAt = performance.now()
    const timer = setInterval(() => {
      const askedAt = performance.now()
      if (askedAt - confirmedAt > leaseMs) stop.abort(lost)
      jobs.renew(job, leaseMs).then(
        (isOurs) => {
          if (isOurs) confirmedAt = askedAt
          else stop.abort(lost)
        },
        () => {},
      )
    }, renewMs)
    timer.unref()
    return () => clearInterval(timer)
  }

  async function workOnAll(): Promise<void> {
    try {
      do {
        isAskedAgain = false
        for (;;) {
          const job = isClosed ? undefined : await jobs.take(parts.maxRunning, leaseMs)
          if (job === undefined) break
          await workOn(job)
        }
      } while (isAskedAgain)
    } catch (error) {
      // The catalog is away: the job is taken up again when its lease is over.
      if (!isClosed) logger.warn({ err: error }, 'Exports of tenants could not be worked on; tried again later')
    }
  }

  const wake = () => {
    if (isClosed) return
    isAskedAgain = true
    working ??= outside(workOnAll).finally(() => {
      working = undefined
    })
  }

  async function sweepNow(): Promise<void> {
    await jobs.expire()
    // Listed first: every archive that is being made has its row by then.
    const keys = await storage.list()
    if (keys.length === 0) return
    const inUse = new Set(await jobs.keysInUse(keys))
    for (const key of keys) if (!inUse.has(key)) await storage.remove(key)
  }
  const sweep = () => (sweeping ??= outside(sweepNow).finally(() => (sweeping = undefined)))
  const sweepInBackground = () => {
    sweep().catch((error: unknown) => {
      if (!isClosed) logger.warn({ err: error }, 'Expired exports of tenants could not be removed; tried again later')
    })
  }

  const timers = [setInterval(wake, pollMs), setInterval(sweepInBackground, sweepMs)]
  for (const timer of timers) timer.unref()
  wake()
  sweepInBackground()
  return {
    ...{ wake, sweep },
    cancel(id) {
      if (current?.id === id) current.stop.abort(lost)
    },
    async close() {
      isClosed = true
      for (const timer of timers) clearInterval(timer)
      current?.stop.abort(new TenancyError('TENANCY_CLOSED'))
      await working
      await sweeping?.catch(() => {})
    },
  }
}

interface MadeArchive {
  readonly report: BackupReport
  readonly bytes: number
  readonly sha256: Buffer
}

/** Writes the backup of a tenant into the storage. */
async function makeArchive(
  { backup, storage, maxBytes }: Pick<ExportRunnerParts, 'backup' | 'storage' | 'maxBytes'>,
  job: ExportJob,
  signal: AbortSignal,
): Promise<MadeArchive> {
  const stream = new PassThrough({ highWaterMark: 1 << 18 })
  // Both sides tell what ended them.
  stream.on('error', () => {})
  const hash = createHash('sha256')
  let bytes = 0
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxBytes) {
        throw new TenancyError('TENANCY_EXPORT_TOO_LARGE', `The archive would have more than ${maxBytes} bytes`)
      }
      hash.update(chunk)
      yield chunk
    }
  }
  const { tenantId, requestedBy, recipients } = job
  const [made, stored] = await Promise.allSettled([
    backup({
      ...{ tenant: tenantId, to: stream, signal, actor: requestedBy, allowDeleted: true },
      ...(recipients.length === 0 ? {} : { encryptTo: recipients }),
    }).catch((error: unknown) => {
      stream.destroy(error as Error)
      throw error
    }),
    storage.write(archiveKey(job), measured()).catch((error: unknown) => {
      stream.destroy(error as Error)
      throw error
    }),
  ])
  // A backup that cannot write says it best: it knows full disks.
  if (made.status === 'rejected') throw findTenancyError(stored.status === 'rejected' && stored.reason) ?? made.reason
  if (stored.status === 'rejected') throw stored.reason
  return { report: made.value, bytes, sha256: hash.digest() }
}
