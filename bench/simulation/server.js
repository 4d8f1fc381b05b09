// A PostgreSQL server as the scheduler sees it: a few cores that all queries share, and the time on the wire.
import { Heap } from './clock.js'

/**
 * Costs. A handler's checkout is a few small queries. Opening a backend costs as much processor time as 80
 * of them (fork, authentication, catalog caches).
 */
export const costs = {
  cores: 4,
  /** Average processor time and all other time of one checkout (exponential). */
  checkoutCpuMs: 0.2,
  checkoutOtherMs: 1.8,
  connectCpuMs: 4,
  connectOtherMs: 1,
  closeMs: 0.5,
}

/** Checkouts a second that the processors can do when no connection has to be opened. */
export const capacityPerSecond = (costs.cores * 1000) / costs.checkoutCpuMs

/** Processor sharing: each running job gets the same part of the cores. */
export class Server {
  #clock
  #random
  #jobs = new Heap()
  /** Processor time that a job would have had if it had run since the start. */
  #servedMs = 0
  #updatedMs = 0
  #order = 0
  #version = 0
  #costs

  /** @param {import('./clock.js').Clock} clock @param {() => number} random @param {Partial<typeof costs>} [others] that differ */
  constructor(clock, random, others) {
    this.#clock = clock
    this.#random = random
    this.#costs = { ...costs, ...others }
  }

  /** @param {() => void} done */
  connect(done) {
    const jitter = 0.75 + this.#random() / 2
    this.#compute(this.#costs.connectCpuMs * jitter, () => this.#clock.after(this.#costs.connectOtherMs * jitter, done))
  }

  /** @param {() => void} done */
  close(done) {
    this.#clock.after(this.#costs.closeMs, done)
  }

  /** @param {() => void} done */
  checkout(done) {
    const otherMs = this.#exponential(this.#costs.checkoutOtherMs)
    this.#compute(this.#exponential(this.#costs.checkoutCpuMs), () => this.#clock.after(otherMs, done))
  }

  #exponential(mean) {
    return -Math.log(1 - this.#random()) * mean
  }

  #compute(cpuMs, callback) {
    this.#update()
    this.#jobs.push({ key: this.#servedMs + cpuMs, order: (this.#order += 1), callback })
    this.#schedule()
  }

  get #rate() {
    return Math.min(1, this.#costs.cores / this.#jobs.size)
  }

  #update() {
    if (this.#jobs.size > 0) this.#servedMs += (this.#clock.nowMs - this.#updatedMs) * this.#rate
    this.#updatedMs = this.#clock.nowMs
  }

  #schedule() {
    const { first } = this.#jobs
    const version = (this.#version += 1)
    if (first === undefined) return
    this.#clock.after(Math.max(0, (first.key - this.#servedMs) / this.#rate), () => {
      if (version !== this.#version) return
      this.#update()
      this.#servedMs = Math.max(this.#servedMs, first.key)
      this.#jobs.pop()
      this.#schedule()
      first.callback()
    })
  }
}
