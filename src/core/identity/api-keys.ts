import type { MemberRecord } from '../access/access.js'
import type { Remembered } from '../request-path.js'
import type { CallingServiceAccount } from './service-account.js'

/** An API key, read in one go with its tenant and what it may do, and the epochs it was read at. */
export interface ApiKeyRecord extends Pick<
  MemberRecord,
  'tenant' | 'grants' | 'schemaVersion' | 'tenantEpoch' | 'rulesEpoch'
> {
  readonly serviceAccount: CallingServiceAccount
  /** Whether the key counts: not revoked, not expired, and its service account is active. */
  readonly isInForce: boolean
  /** Former slugs of the tenant that still name it. */
  readonly formerSlugs: readonly string[]
  /** The member whose permissions bound the key's, and their epoch; undefined: the Owners. */
  readonly responsible: { readonly id: string; readonly epoch: number } | undefined
  /** When a use was last noted, milliseconds since 1970; 0: never. */
  readonly lastUsedAtMs: number
}

/** Finds API keys in the catalog. */
export interface ApiKeyDirectory {
  /** Finds keys by the SHA-256 of their texts, by one query; the answers are in the order of the hashes. */
  findKeys(hashes: readonly Buffer[]): Promise<(ApiKeyRecord | undefined)[]>
  /** Notes that a key was used, at most once in five minutes. */
  noteUse(keyId: string): Promise<void>
}

/** Caches API keys for as long as they are known to be current. */
export interface ApiKeyCache {
  /**
   * Finds a key by the SHA-256 of its text: at once while it is known to be current, otherwise by one query. Undefined: there
   * is none.
   * @throws TENANCY_CATALOG_UNAVAILABLE, as a rejection
   */
  find(
    hash: Buffer,
    sinceMs: number,
  ): Remembered<ApiKeyRecord> | Promise<Remembered<ApiKeyRecord> | undefined> | undefined
  /** Notes in the background that a key was used. Does not wait, and never throws. */
  noteUse(record: ApiKeyRecord): void
}

/** The text of API keys. */
export interface ApiKeyFormat {
  /** Makes a new text: `t2f_`, eight characters that stay visible, `_`, 256 random bits and a code of 71 bits. */
  make(): { readonly text: string; readonly prefix: string; readonly hash: Buffer }
  /** The SHA-256 of a text that this installation has made; undefined for every other, which no query is made for. */
  hashOf(text: string): Buffer | undefined
}

/** What every API key begins with. No JWT does. */
export const apiKeyStart = 't2f_'
