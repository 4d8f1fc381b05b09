/** The monotonic clock, which processes of one machine share, in milliseconds. */
export const monotonicMs = () => Number(process.hrtime.bigint() / 1000n) / 1000

/** Processor time that this process has used since an earlier `process.cpuUsage()`. */
export function cpuMsSince(before) {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
