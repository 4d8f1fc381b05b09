/** A copy that was migrated. */
export interface Measurement {
  readonly bytes: number
  readonly ms: number
}

/** How long a migration takes for a database: so long in any case, and so long for each byte. */
export interface Cost {
  readonly msPerTenant: number
  readonly msPerByte: number
}

/** Fits the cost to what was measured, by least squares; neither part is below 0. Undefined: nothing was measured. */
export function fitCost(measured: readonly Measurement[]): Cost | undefined {
  if (measured.length === 0) return undefined
  const meanBytes = mean(measured.map(({ bytes }) => bytes))
  const meanMs = mean(measured.map(({ ms }) => ms))
  const spread = mean(measured.map(({ bytes }) => (bytes - meanBytes) ** 2))
  const common = mean(measured.map(({ bytes, ms }) => (bytes - meanBytes) * (ms - meanMs)))
  const slope = spread === 0 ? 0 : Math.max(0, common / spread)
  const base = meanMs - slope * meanBytes
  if (base >= 0) return { msPerTenant: base, msPerByte: slope }
  // All of the time is for the bytes then.
  return { msPerTenant: 0, msPerByte: meanMs / meanBytes }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

/** What a run over so many tenants with so many bytes takes, as many at a time as `parallelism`; the largest at least its own time. */
export function estimateRun(
  cost: Cost,
  fleet: { readonly tenants: number; readonly bytes: number; readonly largestBytes: number },
  parallelism: number,
): number {
  const { msPerTenant, msPerByte } = cost
  const all = fleet.tenants * msPerTenant + fleet.bytes * msPerByte
  const longest = fleet.tenants === 0 ? 0 : msPerTenant + fleet.largestBytes * msPerByte
  return Math.round(Math.max(all / Math.max(1, Math.min(parallelism, fleet.tenants)), longest))
}
