import type { StartTenantExportInput } from './exports.js'

/** An export that a process has taken. */
export interface ExportJob {
  readonly id: string
  readonly tenantId: string
  readonly requestedBy: string | null
  readonly recipients: readonly string[]
  /** Of this attempt alone: whoever has another one has lost the job. */
  readonly holder: string
}

/** What an export made. */
export interface ExportResult {
  readonly takenAt: Date
  readonly rows: number
  readonly bytes: number
  readonly sha256: Buffer
}

/** The catalog, for the work on exports. All times are those of its clock. */
export interface ExportJobs {
  /** Takes the next export that waits or whose process is dead; undefined: there is none, or as many run as may. */
  take(maxRunning: number, leaseMs: number): Promise<ExportJob | undefined>
  /** Keeps a job. False: it was cancelled, or another process has it. */
  renew(job: ExportJob, leaseMs: number): Promise<boolean>
  /** Ends a job well. False: it was cancelled, or another process has it. */
  finish(job: ExportJob, result: ExportResult): Promise<boolean>
  /** Ends a job with an error. */
  fail(job: ExportJob, code: string): Promise<void>
  /** Gives a job back that is not to blame for its end: another process begins again. */
  giveBack(job: ExportJob): Promise<void>
  /** Removes what is expired, and ends jobs whose processes died too often. */
  expire(): Promise<void>
  /** Of these keys of archives, those that belong to an export which is ready or running. */
  keysInUse(keys: readonly string[]): Promise<readonly string[]>
}

/** The key under which the archive of an attempt is stored. */
export function archiveKey({ id, holder }: Pick<ExportJob, 'id' | 'holder'>): string {
  return `${id}.${holder}`
}

/** Checks public keys of age. @throws TENANCY_REQUEST_INVALID, TENANCY_CONFIG_PEER_MISSING */
export type CheckRecipients = (recipients: NonNullable<StartTenantExportInput['encryptTo']>) => Promise<void>
