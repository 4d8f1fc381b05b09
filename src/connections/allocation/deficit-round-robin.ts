/** What a member of {@link DeficitRoundRobin} has used of its share. */
export interface Account {
  /** Connection-milliseconds that it may still use in this turn; negative: has used more than its share. */
  creditMs: number
  /** The period of contention that `creditMs` belongs to. */
  period: number
}

/** Nobody pays for longer than this: one long query must not lock a tenant out. */
const maxDebtMs = 1000

/**
 * Deficit round robin (Shreedhar and Varghese, 1995) over those who wait, charged after use. Credits and debts last as
 * long as somebody waits: whoever used idle capacity owes nobody.
 */
export class DeficitRoundRobin<Member extends Account> {
  /** Who waits; who has used up its credit is moved to the end. */
  readonly members = new Set<Member>()
  readonly #quantumMs: number
  #period = 0
  #periodStartedAtMs = 0
  #averageUseMs = 1

  /** `quantumMs`: the connection-milliseconds that everybody gets when nobody has credit left. */
  constructor(quantumMs: number) {
    this.#quantumMs = quantumMs
  }

  join(member: Member, nowMs: number): void {
    if (this.members.size === 0) {
      this.#period += 1
      this.#periodStartedAtMs = nowMs
    }
    this.#enterPeriod(member)
    this.members.add(member)
  }

  leave(member: Member): void {
    this.members.delete(member)
    member.creditMs = Math.min(member.creditMs, 0)
  }

  /** Charges for a use that begins, or a member takes every connection before the first one comes back. */
  advance(member: Member): number {
    if (this.members.size === 0) return 0
    this.pay(member, this.#averageUseMs)
    return this.#averageUseMs
  }

  /** Charges for a use that has ended, less what was paid in advance. */
  settle(member: Member, sinceMs: number, nowMs: number, paidMs: number): void {
    if (this.members.size === 0) return
    const usedMs = nowMs - Math.max(sinceMs, this.#periodStartedAtMs)
    this.#averageUseMs += (usedMs - this.#averageUseMs) / 16
    this.pay(member, usedMs - paidMs)
  }

  pay(member: Member, ms: number): void {
    if (this.members.size === 0) return
    this.#enterPeriod(member)
    member.creditMs = Math.max(member.creditMs - ms, -maxDebtMs)
    if (member.creditMs <= 0 && this.members.size > 1 && this.members.delete(member)) this.members.add(member)
  }

  /** Whose turn it is among those that `isServed` names. */
  next(isServed: (member: Member) => boolean): Member | undefined {
    let rounds = Infinity
    for (const member of this.members) {
      if (!isServed(member)) continue
      if (member.creditMs > 0) return member
      rounds = Math.min(rounds, Math.floor(-member.creditMs / this.#quantumMs) + 1)
    }
    if (rounds === Infinity) return undefined
    let next: Member | undefined
    for (const member of this.members) {
      if (!isServed(member)) continue
      member.creditMs += rounds * this.#quantumMs
      if (next === undefined && member.creditMs > 0) next = member
    }
    return next
  }

  #enterPeriod(member: Member): void {
    if (member.period !== this.#period) member.creditMs = 0
    member.period = this.#period
  }
}
