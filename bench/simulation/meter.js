// The figures that a run is judged by.

export function createMeter() {
  const waits = []
  const askedOf = new Map()
  const servedOf = new Map()
  let refused = 0
  const add = (counts, key) => counts.set(key, (counts.get(key) ?? 0) + 1)
  return {
    get served() {
      return waits.length - refused
    },
    onServed(key, waitMs) {
      waits.push(waitMs)
      add(askedOf, key)
      add(servedOf, key)
    },
    /** Counts a caller that gave up, with the time it waited. */
    onRefused(key, waitMs) {
      waits.push(waitMs)
      add(askedOf, key)
      refused += 1
    },
    figures(seconds) {
      const sorted = Float64Array.from(waits).toSorted()
      const shares = [...askedOf].map(([key, asked]) => (servedOf.get(key) ?? 0) / asked)
      return {
        throughput: this.served / seconds,
        refused,
        p50: quantile(sorted, 0.5),
        p99: quantile(sorted, 0.99),
        longest: quantile(sorted, 1),
        jain: jain(shares),
      }
    },
  }
}

function quantile(sorted, q) {
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]
}

/** Jain, Chiu and Hawe (1984): 1 when all have the same share of what they asked for, 1/n when one has everything. */
function jain(shares) {
  const sum = shares.reduce((total, share) => total + share, 0)
  const squares = shares.reduce((total, share) => total + share * share, 0)
  return squares === 0 ? 0 : (sum * sum) / (shares.length * squares)
}
