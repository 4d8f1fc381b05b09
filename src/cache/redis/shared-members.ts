import type { EpochQuestion, Epochs, MemberRecord } from '../../core/access/access.js'
import type { UserRecord } from '../../core/identity/identity.js'
import type { TenantRef } from '../../core/tenants/slug.js'
import { createEntry, createEntryStore, type Entry, keepEntry } from '../entries.js'
import type { FlightState } from '../single-flight.js'
import type { MemberAddress } from './member-format.js'
import type { MemberTier } from './redis.js'

/** What {@link createSharedMembers} needs. */
export interface SharedMembersOptions {
  /** The tier that processes share. undefined: none, and nobody is found. */
  readonly tier: MemberTier | undefined
  readonly askEpochs: (question: EpochQuestion) => Promise<Epochs>
  readonly isUsable: (entry: Entry<object>, sinceMs: number) => boolean
  /** Up to when all changes have been reported (`performance.now()`). */
  readonly heardUntilMs: () => number
  /** Most tenants whose epochs are cached. */
  readonly maxEntries: number
}

/** The answer of the epochs and the shared tier; undefined: unknown, the catalog has to be asked. */
export type SharedAnswer =
  | { readonly kind: 'none' }
  | { readonly kind: 'ambiguous' }
  | {
      readonly kind: 'member'
      readonly record: MemberRecord
      readonly userEpoch: number
      /** As in {@link Entry}. */
      readonly readUserEpoch: number
      /** As of when the record is known to be current (`performance.now()`). */
      readonly knownAtMs: number
    }
  | undefined

/** Members in the shared tier, and the epochs under which they are found there. */
export interface SharedMembers {
  /**
   * Looks for a member at the current epochs. Only a membership that the catalog confirmed is looked up in the tier: a stranger's
   * request takes the same steps whether the tenant exists or not.
   *
   * @param known the member as it was read before
   * @param state of the read that this is a part of
   */
  find(
    user: Entry<UserRecord>,
    asked: TenantRef | 'default',
    known: Entry<MemberRecord> | undefined,
    sinceMs: number,
    state: FlightState,
  ): Promise<SharedAnswer>
  /** Reports a change of a tenant (see `EntryStore`). */
  markStale(id?: string, epoch?: number): void
}

const epochsBytes = 200

/** Epochs that all members of a tenant share. */
type TenantEpochs = Pick<MemberAddress, 'tenantId' | 'tenant' | 'rules'>

/** Finds members in the shared tier; a tenant's epochs are read once and cached until the tenant changes. */
export function createSharedMembers(options: SharedMembersOptions): SharedMembers {
  const { tier, askEpochs, isUsable, heardUntilMs, maxEntries } = options
  /** By the tenant's id. */
  const store = createEntryStore<TenantEpochs>(maxEntries)

  /** The cached epochs of a member whose user has not changed: the membership is the same, its tenant may have changed. */
  function recall(user: Entry<UserRecord>, member: Entry<MemberRecord> | undefined, sinceMs: number) {
    if (member?.tenantId === undefined || member.userEpoch !== user.userEpoch || member.isEvicted) return undefined
    const known = store.get(member.tenantId)
    if (known === undefined || !isUsable(known, sinceMs) || !isUsable(user, sinceMs)) return undefined
    return {
      address: { userId: user.value.user.id, user: user.userEpoch, ...known.value },
      readUserEpoch: user.readUserEpoch,
      knownAtMs: Math.max(heardUntilMs(), Math.min(user.confirmedAtMs, known.confirmedAtMs)),
    }
  }

  function remember(epochs: TenantEpochs, state: FlightState): void {
    const { tenantId, tenant: tenantEpoch } = epochs
    const basis = { userId: undefined, tenantId, userEpoch: 0, tenantEpoch, endsAtMs: Number.POSITIVE_INFINITY }
    keepEntry(store, tenantId, createEntry(epochs, epochsBytes, basis, state.startedAtMs), state)
  }

  return {
    async find(user, asked, known, sinceMs, state): Promise<SharedAnswer> {
      if (tier === undefined || !tier.isOpen) return undefined
      const userId = user.value.user.id
      let found = recall(user, known, sinceMs)
      if (found === undefined) {
        const { user: epoch, tenantId, tenant, rules, candidates } = await askEpochs({ userId, tenant: asked })
        if (epoch === undefined) return { kind: 'none' }
        if (tenantId === undefined || tenant === undefined) return { kind: candidates > 1 ? 'ambiguous' : 'none' }
        const epochs = { tenantId, tenant, rules }
        remember(epochs, state)
        found = { address: { userId, user: epoch, ...epochs }, readUserEpoch: epoch, knownAtMs: state.startedAtMs }
      }
      const { address, readUserEpoch, knownAtMs } = found
      const record = await tier.read(address)
      if (record === undefined || !isAnswer(record, asked)) return undefined
      return { kind: 'member', record, userEpoch: address.user, readUserEpoch, knownAtMs }
    },
    markStale: (id, epoch) => store.markStale(id, epoch),
  }
}

/** Tells whether the record answers the question: the tenant may have been renamed or deleted since its id was read. */
function isAnswer({ tenant }: MemberRecord, asked: TenantRef | 'default'): boolean {
  if (asked === 'default') return tenant.status !== 'deleted'
  return asked.kind === 'id' || tenant.slug === asked.value
}
