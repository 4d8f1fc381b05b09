/** How much of its share a member of {@link DeficitRoundRobin} has used. */
export interface Account {
  /** Connection-milliseconds that it may still use in this turn. Negative: it has used more than its share. */
  creditMs: number
  /** The period of contention that `creditMs` belongs to. */
  period: number
}

/** The largest debt: one long query must not lock a tenant out. */
const maxDebtMs = 1000

/**
 * Deficit round robin (Shreedhar and Varghese, 1995) over the members that wait, charged after use. Credits and debts
 * last as long as any member waits: use of idle capacity is free.
 */
export class DeficitRoundRobin<Member extends Account> {
  /** The members that wait. One that has used up its credit moves to the end. */
  readonly members = new Set<Member>()
  readonly #quantumMs: number
  #period = 0
  #periodStartedAtMs = 0
  #averageUseMs = 1

  /** `quantumMs`: the connection-milliseconds that each member gets when none has credit left. */
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

  /** Charges for a use that begins: otherwise a member could take every connection before the first one comes back. */
  advance(member: Member): number {
    if (this.members.size === 0) return 0
    this.pay(member, this.#averageUseMs)
    return this.#averageUseMs
  }

  /** Charges for a use that has ended, less what was charged in advance. */
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

  /** Chooses the member whose turn it is among those for which `isServed` is true. */
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
