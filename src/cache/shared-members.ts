import type { EpochQuestion, Epochs, MemberRecord } from '../core/access.js'
import type { UserRecord } from '../core/identity.js'
import type { TenantRef } from '../core/slug.js'
import { createEntry, createEntryStore, type Entry, keepEntry } from './entries.js'
import type { FlightState } from './flights.js'
import type { MemberAddress, MemberTier } from './redis.js'

/** What {@link createSharedMembers} needs. */
export interface SharedMembersOptions {
  /** The tier that processes share. undefined: none, and nobody is found. */
  readonly tier: MemberTier | undefined
  readonly askEpochs: (question: EpochQuestion) => Promise<Epochs>
  readonly isUsable: (entry: Entry<object>, sinceMs: number) => boolean
  /** Up to when all news has been heard (`performance.now()`). */
  readonly heardUntilMs: () => number
  /** Most tenants whose epochs are remembered. */
  readonly maxEntries: number
}

/** A member that another process read. */
export interface SharedMember {
  readonly record: MemberRecord
  readonly userEpoch: number
  /** As of when the record is known to be current (`performance.now()`). */
  readonly knownAtMs: number
}

/** Members in the shared tier, and the epochs under which they are found there. */
export interface SharedMembers {
  /** Looks for a member at the epochs that are current now. `state` is that of the read that this is a part of. */
  find(user: Entry<UserRecord>, ref: TenantRef, sinceMs: number, state: FlightState): Promise<SharedMember | undefined>
  /** Says that a tenant changed (see `EntryStore`). */
  markStale(id?: string, epoch?: number): void
}

/** Epochs that all members of a tenant share. */
type TenantEpochs = Pick<MemberAddress, 'tenantId' | 'tenant' | 'rules'>

/** Finds members in the shared tier; the epochs of a tenant are asked for once, until there is news of it. */
export function createSharedMembers(options: SharedMembersOptions): SharedMembers {
  const { tier, askEpochs, isUsable, heardUntilMs, maxEntries } = options
  const store = createEntryStore<TenantEpochs>(maxEntries)

  function recall(user: Entry<UserRecord>, key: string, sinceMs: number) {
    const known = store.get(key)
    if (known === undefined || !isUsable(known, sinceMs) || !isUsable(user, sinceMs)) return undefined
    return {
      address: { userId: user.value.user.id, user: user.userEpoch, ...known.value },
      knownAtMs: Math.max(heardUntilMs(), Math.min(user.confirmedAtMs, known.confirmedAtMs)),
    }
  }

  async function ask(userId: string, ref: TenantRef, key: string, state: FlightState) {
    const { user, tenantId, tenant, rules } = await askEpochs({ userId, tenant: ref })
    if (user === undefined || tenantId === undefined || tenant === undefined) return undefined
    const epochs = { tenantId, tenant, rules }
    const basis = { userId: undefined, tenantId, userEpoch: 0, tenantEpoch: tenant, endsAtMs: Number.POSITIVE_INFINITY }
    keepEntry(store, key, createEntry(epochs, basis, state.startedAtMs), state)
    return { address: { userId, user, ...epochs }, knownAtMs: state.startedAtMs }
  }

  return {
    async find(user, ref, sinceMs, state) {
      if (tier === undefined || !tier.isOpen) return undefined
      const key = `${ref.kind} ${ref.value}`
      const epochs = recall(user, key, sinceMs) ?? (await ask(user.value.user.id, ref, key, state))
      if (epochs === undefined) return undefined
      const record = await tier.read(epochs.address)
      return record && { record, userEpoch: epochs.address.user, knownAtMs: epochs.knownAtMs }
    },
    markStale: (id, epoch) => store.markStale(id, epoch),
  }
}
