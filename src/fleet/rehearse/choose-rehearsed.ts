import type { FleetTenant } from '../../core/fleet/ports.js'

/** A tenant that may be rehearsed. */
export interface Candidate {
  readonly tenant: FleetTenant
  /** Size of its database. */
  readonly bytes: number
}

/** Collects candidates while a fleet of any size goes by. */
export interface CandidateCollector {
  add(candidate: Candidate): void
  /** Tenants and bytes that went by. */
  readonly total: { readonly tenants: number; readonly bytes: number }
  /** The largest ones, largest first. */
  readonly largest: readonly Candidate[]
  /** Others to choose the most different ones from: one of each schema version, and any others. At most 64. */
  readonly others: readonly Candidate[]
}

const maxVersions = 32
const maxOthers = 32

/**
 * @param count how many of the largest to keep
 * @param random a number from 0 to 1, like `Math.random`
 */
export function createCandidateCollector(count: number, random: () => number = Math.random): CandidateCollector {
  let tenants = 0
  let bytes = 0
  let seenOthers = 0
  let largest: Candidate[] = []
  const byVersion = new Map<number | null, Candidate>()
  const others: Candidate[] = []

  /** Keeps a random choice of all that went by. */
  const addOther = (candidate: Candidate) => {
    seenOthers += 1
    const place = others.length < maxOthers ? others.length : Math.floor(random() * seenOthers)
    if (place < maxOthers) others[place] = candidate
  }

  return {
    add(candidate) {
      tenants += 1
      bytes += candidate.bytes
      largest = [...largest, candidate].toSorted((one, other) => other.bytes - one.bytes)
      const displaced = largest.length > count ? largest.pop() : undefined
      if (displaced === undefined) return
      const version = displaced.tenant.database.schemaVersion
      if (!byVersion.has(version) && byVersion.size < maxVersions) byVersion.set(version, displaced)
      else addOther(displaced)
    },
    get total() {
      return { tenants, bytes }
    },
    get largest() {
      return largest
    },
    get others() {
      return [...byVersion.values(), ...others]
    },
  }
}

/** What tells a tenant's data from another's. */
export interface Profile {
  readonly schemaVersion: number | null
  /** Rows of each table, by name. */
  readonly rows: ReadonlyMap<string, number>
}

/**
 * How different two tenants are: the sum over all tables of the difference between the logarithms of their rows (a table with
 * rows in one of them only counts most), and as much as ten such tables for another schema version.
 */
export function distance(one: Profile, other: Profile): number {
  let sum = one.schemaVersion === other.schemaVersion ? 0 : 10 * Math.log(1_000_000)
  for (const table of new Set([...one.rows.keys(), ...other.rows.keys()])) {
    sum += Math.abs(weight(one.rows.get(table)) - weight(other.rows.get(table)))
  }
  return sum
}

/** A table that one of them lacks altogether differs from an empty one. */
const weight = (rows: number | undefined) => (rows === undefined ? -1 : Math.log1p(rows))

/**
 * Chooses the most different ones, one after the other: each the one whose nearest neighbour among those chosen so far is
 * farthest away.
 */
export function chooseDifferent<Item extends { readonly profile: Profile }>(
  chosen: readonly Item[],
  candidates: readonly Item[],
  count: number,
): Item[] {
  const found: Item[] = []
  const left = [...candidates]
  while (found.length < count && left.length > 0) {
    const near = [...chosen, ...found]
    const distances = left.map((item) => Math.min(...near.map((each) => distance(each.profile, item.profile))))
    const farthest = distances.indexOf(Math.max(...distances))
    found.push(...left.splice(farthest, 1))
  }
  return found
}
