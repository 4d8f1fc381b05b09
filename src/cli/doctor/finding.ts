/** How a check ended. `skipped`: it does not apply here, or something that it needs is not there. */
export type CheckStatus = 'ok' | 'warning' | 'problem' | 'skipped'

/** A repair that is safe to make without asking: it loses nothing, and doing it twice does no harm. */
export interface Fix {
  /** What it does, as it follows "--fix": `tightens the permissions of .env`. */
  readonly what: string
  /** Does it, and says what was done. */
  apply(): Promise<string>
}

/** What a check found. */
export interface Finding {
  readonly status: CheckStatus
  /** The fact, in a sentence or two. */
  readonly what: string
  /** What to do about it; always there for a warning and a problem. */
  readonly advice?: string | undefined
  readonly fix?: Fix | undefined
}

/** Thrown by a check that cannot be made because something else is not there: it is then skipped, with this reason. */
export class Unmet extends Error {
  readonly need: string

  /** @param need as it follows "needs": `a server that can be reached` */
  constructor(need: string) {
    super(`needs ${need}`)
    this.need = need
  }
}

export const ok = (what: string): Finding => ({ status: 'ok', what })
export const skipped = (what: string): Finding => ({ status: 'skipped', what })
export const warning = (what: string, advice: string, fix?: Fix): Finding => ({ status: 'warning', what, advice, fix })
export const problem = (what: string, advice: string, fix?: Fix): Finding => ({ status: 'problem', what, advice, fix })

const severity: Readonly<Record<CheckStatus, number>> = { skipped: 0, ok: 1, warning: 2, problem: 3 }

/**
 * Makes one finding of several about the same thing: as severe as the worst of them, with the texts of those that are not
 * fine; `fine` says it when all are.
 */
export function combine(findings: readonly Finding[], fine: string): Finding {
  const bad = findings
    .filter(({ status }) => severity[status] > severity.ok)
    .toSorted((one, other) => severity[other.status] - severity[one.status])
  const [worst] = bad
  if (worst === undefined) return ok(fine)
  const advice = [...new Set(bad.flatMap((finding) => finding.advice ?? []))].join('; ')
  const fix = bad.find((finding) => finding.fix !== undefined)?.fix
  return { status: worst.status, what: bad.map(({ what }) => what).join('; '), advice, fix }
}
