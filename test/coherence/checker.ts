import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Member, Mode } from './cluster.js'
import type { Subject } from './lane.js'
import type { Timeline } from './timeline.js'

/** What came of one kind of fault, on processes of one mode. */
export interface Figures {
  answers: number
  allowed: number
  unavailable: number
  /** Requests that were given up after 300 ms without an answer. */
  silent: number
  /** The longest that an "allow" was later than the revocation's commit. */
  staleMs: number
  readonly tookMs: number[]
}

const patienceMs = 300

/** For how long a yes has been wrong at that moment. */
function staleMs({ timelines }: Subject, momentMs: number): number {
  return Math.max(...timelines.map((timeline) => timeline.staleMs(momentMs)))
}

/** Asks all processes all the time, and judges every answer. */
export class Checker {
  /** Named by fault and mode. */
  readonly figures = new Map<string, Figures>()
  readonly violations: string[] = []
  /** The fault that is in place, as the figures call it. */
  fault = 'none'
  readonly #stop = new AbortController()
  readonly #agent = new Agent({ keepAlive: true })
  #lines: Promise<void>[] = []
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  start(cluster: Cluster, subjects: () => readonly Subject[], linesPerProcess: number): void {
    const signal = this.#stop.signal
    this.#lines = cluster.members.flatMap((member) =>
      Array.from({ length: linesPerProcess }, async () => {
        while (!signal.aborted) {
          const subject = this.#choose(subjects())
          if (subject !== undefined) await this.#judge(member, subject)
          await sleep(3)
        }
      }),
    )
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#lines)
    this.#agent.destroy()
  }

  /** Anybody, or, half of the time, whoever of three was revoked last: that is where a wrong answer would be. */
  #choose(subjects: readonly Subject[]): Subject | undefined {
    const any = () => subjects[Math.floor(this.#random() * subjects.length)]
    if (this.#random() < 0.5) return any()
    const nowMs = performance.now()
    const revokedForMs = (subject: Subject | undefined) => (subject && staleMs(subject, nowMs)) || Infinity
    return [any(), any(), any()].toSorted((a, b) => revokedForMs(a) - revokedForMs(b))[0]
  }

  /** Status of one request; 0 when the connection was lost, undefined when there was no answer for too long. */
  async ask(
    member: Member,
    { path, token, tenantId }: Subject,
    timeoutMs: number = patienceMs,
  ): Promise<number | undefined> {
    return new Promise((resolve) => {
      const headers = { authorization: `Bearer ${token}`, 'x-tenant-id': tenantId }
      const call = request(`${member.address}${path}`, { agent: this.#agent, headers }, (response) => {
        response.resume()
        response.once('end', () => resolve(response.statusCode ?? 0)).once('error', () => resolve(0))
      })
      // The others go on: what is remembered is to be asked for also while the catalog is silent.
      call.setTimeout(timeoutMs, () => {
        resolve(undefined)
        call.destroy()
      })
      call.once('error', () => resolve(0)).end()
    })
  }

  async #judge(member: Member, subject: Subject): Promise<void> {
    const { fault } = this
    const startedAtMs = performance.now()
    const status = await this.ask(member, subject)
    const endedAtMs = performance.now()
    const figures = this.#figuresOf(fault, member.mode)
    figures.answers += 1
    figures.tookMs.push(endedAtMs - startedAtMs)
    const lateMs = staleMs(subject, startedAtMs)
    const isAllowed = status === 200
    const isDenied = status === 401 || status === 403
    if (isAllowed) {
      figures.allowed += 1
      figures.staleMs = Math.max(figures.staleMs, lateMs)
    } else if (status === 503) figures.unavailable += 1
    else if (status === undefined) figures.silent += 1
    else if (!isDenied) this.violations.push(`${fault}, ${member.mode}: ${status} from ${subject.path}`)
    if (!isAllowed && !isDenied) return
    const isRight = (timeline: Timeline) => timeline.isRight(isAllowed, startedAtMs - member.maxStalenessMs, endedAtMs)
    if (isAllowed ? subject.timelines.every(isRight) : subject.timelines.some(isRight)) return
    this.violations.push(
      `${fault}, ${member.mode}: ${isAllowed ? 'allowed' : 'denied'} ${lateMs.toFixed(1)} ms after a change, with ${member.maxStalenessMs} ms allowed (took ${(endedAtMs - startedAtMs).toFixed(1)} ms)`,
    )
  }

  #figuresOf(fault: string, mode: Mode): Figures {
    const name = `${fault}, ${mode}`
    let figures = this.figures.get(name)
    if (figures === undefined) {
      figures = { answers: 0, allowed: 0, unavailable: 0, silent: 0, staleMs: 0, tookMs: [] }
      this.figures.set(name, figures)
    }
    return figures
  }
}
