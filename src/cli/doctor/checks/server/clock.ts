import { type Check, combine, type Finding, ok, problem, warning } from '../../check.js'

/** The clocks of this machine, PostgreSQL and Redis agree: tokens, leases and epochs are compared by them. */
export const clock: Check = {
  name: 'clock',
  async run(context) {
    const { client } = await context.server()
    const server = await skewOf(async () => {
      const { rows } = await client.query<{ ms: number }>(
        'select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms',
      )
      return rows[0]?.ms ?? Number.NaN
    })
    const redis = await context.redis().catch(() => undefined)
    const findings = [judgeSkew('PostgreSQL', server)]
    if (redis !== undefined) findings.push(judgeSkew('Redis', await skewOf(() => redis.timeMs())))
    return combine(findings, findings.map(({ what }) => what).join('; '))
  },
}

interface Skew {
  /** How far the other clock is ahead, milliseconds. */
  readonly skewMs: number
  /** Half the time that the answer took: the skew is known to this. */
  readonly uncertaintyMs: number
}

async function skewOf(read: () => Promise<number>): Promise<Skew> {
  // The first answer may have waited for something.
  await read()
  const beforeMs = Date.now()
  const otherMs = await read()
  const afterMs = Date.now()
  return { skewMs: otherMs - (beforeMs + afterMs) / 2, uncertaintyMs: (afterMs - beforeMs) / 2 }
}

/** Tokens are accepted 5 s before and after their time. */
export function judgeSkew(name: string, { skewMs, uncertaintyMs }: Skew): Finding {
  const certainMs = Math.max(0, Math.abs(skewMs) - uncertaintyMs)
  const amount = certainMs < 1000 ? `${Math.round(certainMs)} ms` : `${(certainMs / 1000).toFixed(1)} s`
  const what = `${name}’s clock is ${amount} ${skewMs < 0 ? 'behind' : 'ahead of'} this machine’s`
  const advice = 'Let both take the time from NTP (chrony, systemd-timesyncd)'
  if (certainMs > 5000) return problem(what, advice)
  return certainMs > 1000 ? warning(what, advice) : ok(what)
}
