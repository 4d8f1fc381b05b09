import { createHash } from 'node:crypto'
import type { EpochQuestion, Epochs, MemberDirectory, MemberQuestion, MemberRecord } from '../core/access/access.js'
import { catalogAnswer } from '../postgres/outages/catalog-outage.js'
import type { UserDirectory, UserRecord, VerifiedToken } from '../core/identity/identity.js'
import type { DirectoryCache, RememberedDefault } from '../core/request-path.js'
import type { TenantRef } from '../core/tenants/slug.js'
import { createBatch } from './batches.js'
import type { MembershipChange } from './changes/change-message.js'
import type { Coherence } from './changes/coherence.js'
import {
  createEntry,
  createEntryStore,
  type Entry,
  isRaisedByMessages,
  isUnusable,
  keepEntry,
  outdate,
} from './entries.js'
import { createSingleFlight, type FlightState } from './single-flight.js'
import { memberBytes, userBytes } from './redis/record-bytes.js'
import type { MemberTier } from './redis/redis.js'
import { createSharedMembers, type SharedAnswer } from './redis/shared-members.js'

/** What {@link createDirectoryCache} needs. */
export interface DirectoryCacheOptions {
  readonly users: UserDirectory
  readonly members: MemberDirectory
  readonly coherence: Pick<Coherence, 'maxStalenessMs' | 'confirmedAtMs' | 'subscribe'>
  /** The tier that processes share. Default: none. */
  readonly redis?: MemberTier | undefined
  /** Most users, and most members, remembered. Default: 10 000. */
  readonly maxEntries?: number
  /** Most memory that they take, users and members each, about. Default: 64 MiB. */
  readonly maxBytes?: number
}

/** A {@link DirectoryCache} that accepts changes and can be closed. */
export interface LocalDirectoryCache extends DirectoryCache {
  /** Makes this process confirm its entries of a user or tenant (no id: all) again, without waiting for the catalog's message. */
  invalidate(id?: string): void
  /** Stops following the catalog; no entry is usable afterwards. */
  close(): void
}

/** Longer keys are hashed. */
const maxKeyLength = 200
const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Caches users and members. An entry is usable without a query while no change of its user or tenant was reported and the
 * coherence (or the entry itself) was confirmed within `maxStalenessMs`. Otherwise one query of the epochs, shared by the
 * waiting requests, tells whether it is current; an entry that is not is read again. Misses are not cached, except that an
 * ended membership is. A member from whom the last role and override were taken is not read again before `maxStalenessMs`.
 */
export function createDirectoryCache(options: DirectoryCacheOptions): LocalDirectoryCache {
  const { users, members, coherence, redis, maxEntries = 10_000, maxBytes = 64 * 2 ** 20 } = options
  const { maxStalenessMs } = coherence
  const userStore = createEntryStore<UserRecord>(maxEntries, maxBytes)
  const memberStore = createEntryStore<MemberRecord>(maxEntries, maxBytes)
  const flights = createSingleFlight()
  const askUser = createBatch((ids: readonly string[]) => fromCatalog(() => users.findUsersById(ids)))
  const askMember = createBatch<MemberQuestion, MemberRecord | undefined>((questions) =>
    fromCatalog(() => members.findMembers(questions)),
  )
  const askEpochs = createBatch<EpochQuestion, Epochs>((questions) => fromCatalog(() => members.readEpochs(questions)))
  const heardUntilMs = () => coherence.confirmedAtMs
  const shared = createSharedMembers({ tier: redis, askEpochs, isUsable, heardUntilMs, maxEntries })
  let isClosed = false
  const unsubscribe = coherence.subscribe({
    user: (id, epoch, membership) =>
      membership === undefined ? invalidate(id, epoch) : changeMembership(id, epoch, membership),
    emptied: (userId, epoch, tenantId) => memberStore.noteEmptied(userId, epoch, tenantId),
    tenant: invalidate,
    rules: () => invalidate(),
    all: () => invalidate(),
  })

  function invalidate(id?: string, epoch?: number): void {
    userStore.markStale(id, epoch)
    memberStore.markStale(id, epoch)
    shared.markStale(id, epoch)
    flights.invalidate(id)
  }

  function changeMembership(userId: string, epoch: number, change: MembershipChange): void {
    userStore.changeMembership(userId, epoch, change)
    memberStore.changeMembership(userId, epoch, change)
    flights.invalidate(userId)
  }

  /** What the only change of the membership left, if no other change can have been missed. */
  function knownLeft(entry: Entry<MemberRecord> | undefined, sinceMs: number): 'ended' | 'empty' | undefined {
    if (entry === undefined || isClosed || coherence.confirmedAtMs < sinceMs - maxStalenessMs) return undefined
    return entry.onlyChange?.left
  }

  /** Stores the member without roles and overrides, which a message said that the change left. */
  function enterEmptied(key: string, { value, ...known }: Entry<MemberRecord>): Entry<MemberRecord> {
    const record: MemberRecord = { ...value, grants: { roles: [], permissionIds: [], changesAtMs: null } }
    const userEpoch = known.onlyChange?.epoch ?? known.userEpoch
    // Nothing but the message says so. Whoever could forge one must not lock a member out for longer than the bound.
    const endsAtMs = performance.now() + maxStalenessMs
    const entry = createEntry(record, memberBytes(record), { ...known, userEpoch, endsAtMs }, coherence.confirmedAtMs)
    memberStore.set(key, entry)
    return entry
  }

  function isUsable(entry: Entry<object>, sinceMs: number): boolean {
    return !isClosed && !entry.isStale && wasCurrentAt(entry, sinceMs - maxStalenessMs) && sinceMs < entry.endsAtMs
  }

  /** Tells whether the entry was current at that moment or later, apart from changes reported since. */
  function wasCurrentAt(entry: Entry<object>, momentMs: number): boolean {
    // Changes do not reach an entry that left the store: hearing of none says nothing about it.
    return Math.max(entry.confirmedAtMs, entry.isEvicted ? entry.confirmedAtMs : coherence.confirmedAtMs) >= momentMs
  }

  /** Reads the epochs, by a query shared with others, and returns when that query began. */
  function readEpochs(userId: string, tenantId: string | undefined, sinceMs: number) {
    return flights.share(`epochs ${userId} ${tenantId ?? ''}`, sinceMs - maxStalenessMs, async (state) => {
      const tenant = tenantId === undefined ? undefined : ({ kind: 'id', value: tenantId } as const)
      const epochs = await askEpochs({ userId, tenant })
      const ids = tenantId === undefined ? [userId] : [userId, tenantId]
      return { epochs, startedAtMs: state.startedAtMs, isInvalidated: state.isInvalidated(ids) }
    })
  }

  async function confirm(
    user: Entry<UserRecord>,
    member: Entry<MemberRecord> | undefined,
    sinceMs: number,
  ): Promise<boolean> {
    if (isUnusable(user) || (member !== undefined && (isUnusable(member) || sinceMs >= member.endsAtMs))) return false
    if (isRaisedByMessages(user) || (member !== undefined && isRaisedByMessages(member))) return false
    const { epochs, startedAtMs, isInvalidated } = await readEpochs(user.value.user.id, member?.tenantId, sinceMs)
    if (epochs.user !== user.userEpoch) outdate(user)
    if (
      member !== undefined &&
      (epochs.user !== member.userEpoch ||
        epochs.tenant !== member.tenantEpoch ||
        epochs.rules !== member.value.rulesEpoch)
    ) {
      outdate(member)
    }
    if (isInvalidated || isUnusable(user) || (member !== undefined && isUnusable(member))) return false
    for (const entry of member === undefined ? [user] : [user, member]) {
      entry.confirmedAtMs = Math.max(entry.confirmedAtMs, startedAtMs)
      entry.isStale = false
    }
    return true
  }

  /** Makes an entry of a record and stores it, unless a change was reported while it was read. */
  function enterUser(key: string, record: UserRecord, state: FlightState): Entry<UserRecord> {
    const { user, accessEpoch: userEpoch } = record
    const basis = {
      userId: user.id,
      tenantId: undefined,
      userEpoch,
      tenantEpoch: 0,
      endsAtMs: Number.POSITIVE_INFINITY,
    }
    const entry = createEntry(record, userBytes(record), basis, state.startedAtMs)
    return keepEntry(userStore, key, entry, state)
  }

  function enterMember(
    key: string,
    record: MemberRecord,
    epochs: Pick<Entry<object>, 'userEpoch' | 'readUserEpoch'>,
    state: FlightState,
    knownAtMs = state.startedAtMs,
  ): Entry<MemberRecord> {
    const { changesAtMs } = record.grants
    const { userId, tenantId } = record.membership
    const endsAtMs = changesAtMs === null ? Number.POSITIVE_INFINITY : performance.now() + changesAtMs - Date.now()
    const { userEpoch, readUserEpoch } = epochs
    const basis = { userId, tenantId, userEpoch, readUserEpoch, tenantEpoch: record.tenantEpoch, endsAtMs }
    const entry = createEntry(record, memberBytes(record), basis, knownAtMs)
    return keepEntry(memberStore, key, entry, state)
  }

  async function findUser(token: VerifiedToken, sinceMs: number): Promise<Entry<UserRecord> | undefined> {
    const key = userKeyOf(token)
    const known = userStore.get(key)
    if (known !== undefined) {
      // A token that was issued after the entry was read: the news of that revocation is still on its way.
      if (token.isOwn && (token.epoch ?? 0) > known.value.tokenEpoch) known.isStale = true
      if (isUsable(known, sinceMs) || (await confirm(known, undefined, sinceMs))) return known
    }
    return flights.share(`user ${key}`, sinceMs - maxStalenessMs, async (state) => {
      const record = await readUser(token)
      if (record !== undefined) return enterUser(key, record, state)
      userStore.delete(key)
      return undefined
    })
  }

  async function readUser(token: VerifiedToken): Promise<UserRecord | undefined> {
    if (token.isOwn) return uuidPattern.test(token.subject) ? askUser(token.subject) : undefined
    return fromCatalog(
      async () => (await users.findUserByIdentity(token.issuer, token.subject)) ?? users.createUserFromToken(token),
    )
  }

  async function findMember(
    user: Entry<UserRecord>,
    ref: TenantRef,
    sinceMs: number,
  ): Promise<Entry<MemberRecord> | undefined> {
    const key = `${user.value.user.id} ${ref.kind} ${ref.value}`
    const known = memberStore.get(key)
    const left = knownLeft(known, sinceMs)
    // An ended membership is refused without a query.
    if (left === 'ended') return undefined
    if (known !== undefined && left === 'empty') return enterEmptied(key, known)
    if (known !== undefined && (isUsable(known, sinceMs) || (await confirm(user, known, sinceMs)))) return known
    const found = await flights.share(`member ${key}`, sinceMs - maxStalenessMs, async (state) => {
      const there = await findShared(user, ref, known, sinceMs, state)
      if (there?.kind === 'member') return enterMember(key, there.record, there, state, there.knownAtMs)
      const { userEpoch, readUserEpoch } = user
      const isNone = there !== undefined
      const record = isNone ? undefined : await askMember({ userId: user.value.user.id, tenant: ref })
      if (record === undefined) {
        memberStore.delete(key)
        return undefined
      }
      return shareMember(enterMember(key, record, { userEpoch, readUserEpoch }, state))
    })
    // The request that began the read may have accepted older epochs.
    return found === undefined || wasCurrentAt(found, sinceMs - maxStalenessMs) ? found : findMember(user, ref, sinceMs)
  }

  async function findDefaultMember(user: Entry<UserRecord>, sinceMs: number): Promise<RememberedDefault> {
    const key = `${user.value.user.id} default`
    const known = memberStore.get(key)
    if (known !== undefined && knownLeft(known, sinceMs) === 'empty') {
      return { kind: 'member', member: enterEmptied(key, known) }
    }
    if (known !== undefined && (isUsable(known, sinceMs) || (await confirm(user, known, sinceMs)))) {
      return { kind: 'member', member: known }
    }
    const found = await flights.share(
      `member ${key}`,
      sinceMs - maxStalenessMs,
      async (state): Promise<{ readonly kind: 'none' | 'ambiguous' } | Entry<MemberRecord>> => {
        const there = await findShared(user, 'default', known, sinceMs, state)
        if (there?.kind === 'member') return enterMember(key, there.record, there, state, there.knownAtMs)
        const { userEpoch, readUserEpoch } = user
        const answer = there ?? (await fromCatalog(() => members.findDefaultMember(user.value.user.id)))
        if (answer.kind === 'member')
          return shareMember(enterMember(key, answer.member, { userEpoch, readUserEpoch }, state))
        memberStore.delete(key)
        return answer
      },
    )
    if ('kind' in found) return found
    return wasCurrentAt(found, sinceMs - maxStalenessMs)
      ? { kind: 'member', member: found }
      : findDefaultMember(user, sinceMs)
  }

  async function findShared(
    user: Entry<UserRecord>,
    asked: TenantRef | 'default',
    known: Entry<MemberRecord> | undefined,
    sinceMs: number,
    state: FlightState,
  ): Promise<SharedAnswer> {
    // After a change of the user, no other process is likely to have cached the new state yet.
    if (known !== undefined && known.userEpoch !== user.userEpoch) return undefined
    return shared.find(user, asked, known, sinceMs, state)
  }

  function shareMember(entry: Entry<MemberRecord>): Entry<MemberRecord> {
    if (!entry.isEvicted && !isRaisedByMessages(entry)) redis?.write(entry.value, entry.userEpoch)
    return entry
  }

  return {
    isUsable: (entry, sinceMs) => isUsable(entry as Entry<object>, sinceMs),
    confirm: (user, member, sinceMs) =>
      confirm(user as Entry<UserRecord>, member as Entry<MemberRecord> | undefined, sinceMs),
    findUser,
    findMember: (user, ref, sinceMs) => findMember(user as Entry<UserRecord>, ref, sinceMs),
    findDefaultMember: (user, sinceMs) => findDefaultMember(user as Entry<UserRecord>, sinceMs),
    invalidate,
    close() {
      // From here on, what a query confirms serves the request that asked and no later one.
      isClosed = true
      unsubscribe()
      invalidate()
    },
  }
}

/** The cache key of a user. An issuer may choose a subject of any length; the key is bounded. */
function userKeyOf({ isOwn, issuer, subject }: VerifiedToken): string {
  // Injective: a JSON array starts with a bracket, a hash with a hash sign, an id with neither.
  const key = isOwn ? subject : JSON.stringify([issuer, subject])
  return key.length <= maxKeyLength ? key : `#${createHash('sha256').update(key).digest('base64url')}`
}

/** Runs a read of the catalog. A failure becomes TENANCY_CATALOG_UNAVAILABLE, never "no user" or "no tenant". */
function fromCatalog<Value>(read: () => Promise<Value>): Promise<Value> {
  return catalogAnswer(read(), 'users and members')
}
