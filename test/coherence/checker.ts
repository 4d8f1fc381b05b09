import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, AppProcess, Mode } from './cluster.js'
import type { Subject } from './access-writer.js'
import type { Timeline } from './timeline.js'

/** Results under one fault, of processes of one mode. */
export interface Figures {
  answers: number
  allowed: number
  unavailable: number
  /** Requests without an answer within 300 ms. */
  unanswered: number
  /** The longest time from a revocation's commit to an "allowed". */
  staleMs: number
  readonly tookMs: number[]
}

const answerTimeoutMs = 300

/** For how long "allowed" has been wrong at that moment; 0 when it may be right. */
function staleMs({ timelines }: Subject, momentMs: number): number {
  return Math.max(...timelines.map((timeline) => timeline.staleMs(momentMs)))
}

/** Sends requests to all processes without a pause, and checks every answer. */
export class Checker {
  /** Results by fault and mode. */
  readonly figures = new Map<string, Figures>()
  readonly violations: string[] = []
  /** Name of the fault that is active. */
  fault = 'none'
  readonly #stop = new AbortController()
  readonly #agent = new Agent({ keepAlive: true })
  #clients: Promise<void>[] = []
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  start(cluster: Cluster, subjects: () => readonly Subject[], clientsPerProcess: number): void {
    const signal = this.#stop.signal
    this.#clients = cluster.apps.flatMap((app) =>
      Array.from({ length: clientsPerProcess }, async () => {
        while (!signal.aborted) {
          const subject = this.#choose(subjects())
          if (subject !== undefined) await this.#check(app, subject)
          await sleep(3)
        }
      }),
    )
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#clients)
    this.#agent.destroy()
  }

  /** Picks any subject, or, half of the time, the last revoked of three: a wrong answer is most likely there. */
  #choose(subjects: readonly Subject[]): Subject | undefined {
    const any = () => subjects[Math.floor(this.#random() * subjects.length)]
    if (this.#random() < 0.5) return any()
    const nowMs = performance.now()
    const revokedForMs = (subject: Subject | undefined) => (subject && staleMs(subject, nowMs)) || Infinity
    return [any(), any(), any()].toSorted((a, b) => revokedForMs(a) - revokedForMs(b))[0]
  }

  /** Status of one request; 0 when the connection was lost, undefined when there was no answer in time. */
  async ask(
    app: AppProcess,
    { path, token, tenantId }: Subject,
    timeoutMs: number = answerTimeoutMs,
  ): Promise<number | undefined> {
    return new Promise((resolve) => {
      const headers = { authorization: `Bearer ${token}`, 'x-tenant-id': tenantId }
      const call = request(`${app.address}${path}`, { agent: this.#agent, headers }, (response) => {
        response.resume()
        response.once('end', () => resolve(response.statusCode ?? 0)).once('error', () => resolve(0))
      })
      // Given up early: answers from the caches have to be checked also while the catalog does not answer.
      call.setTimeout(timeoutMs, () => {
        resolve(undefined)
        call.destroy()
      })
      call.once('error', () => resolve(0)).end()
    })
  }

  async #check(app: AppProcess, subject: Subject): Promise<void> {
    const { fault } = this
    const startedAtMs = performance.now()
    const status = await this.ask(app, subject)
    const endedAtMs = performance.now()
    const figures = this.#figuresOf(fault, app.mode)
    figures.answers += 1
    figures.tookMs.push(endedAtMs - startedAtMs)
    const lateMs = staleMs(subject, startedAtMs)
    const isAllowed = status === 200
    const isDenied = status === 401 || status === 403
    if (isAllowed) {
      figures.allowed += 1
      figures.staleMs = Math.max(figures.staleMs, lateMs)
    } else if (status === 503) figures.unavailable += 1
    else if (status === undefined) figures.unanswered += 1
    else if (!isDenied) this.violations.push(`${fault}, ${app.mode}: ${status} from ${subject.path}`)
    if (!isAllowed && !isDenied) return
    const isRight = (timeline: Timeline) => timeline.isRight(isAllowed, startedAtMs - app.maxStalenessMs, endedAtMs)
    if (isAllowed ? subject.timelines.every(isRight) : subject.timelines.some(isRight)) return
    this.violations.push(
      `${fault}, ${app.mode}: ${isAllowed ? 'allowed' : 'denied'} ${lateMs.toFixed(1)} ms after a change, with ${app.maxStalenessMs} ms allowed (took ${(endedAtMs - startedAtMs).toFixed(1)} ms)`,
    )
  }

  #figuresOf(fault: string, mode: Mode): Figures {
    const name = `${fault}, ${mode}`
    let figures = this.figures.get(name)
    if (figures === undefined) {
      figures = { answers: 0, allowed: 0, unavailable: 0, unanswered: 0, staleMs: 0, tookMs: [] }
      this.figures.set(name, figures)
    }
    return figures
  }
}
