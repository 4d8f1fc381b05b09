import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seededRandom } from '../support/seeded-random.js'
import { redis, redisUrl } from '../support/redis/redis.js'
import { testWith } from '../support/requirements.js'
import { Checker, type Figures } from './checker.js'
import { Cluster } from './cluster.js'
import { faults } from './faults.js'
import { AccessWriter } from './access-writer.js'
import { printFigures } from './report.js'

// The run in the suite is short; `npm run soak -- coherence` goes through the faults again and again, at the default bound.
const rounds = Number(process.env['T2F_COHERENCE_ROUNDS'] ?? 1)
const maxStalenessMs = Number(process.env['T2F_COHERENCE_STALENESS_MS'] ?? 300)
const holdMs = Number(process.env['T2F_COHERENCE_HOLD_MS'] ?? 700)
const seed = Number(process.env['T2F_SEED'] ?? Math.floor(Math.random() * 1e6))
const modes = ['listen', 'listen', 'poll', 'strict'] as const

// Bounds for a run that hangs. On a busy machine an answer takes seconds: nothing here may depend on its speed.
const answerTimeoutMs = 10_000
const recoveryTimeoutMs = 300_000

const random = seededRandom(seed)
const cluster = new Cluster(redisUrl())
const checker = new Checker(random)
const writers: AccessWriter[] = []
const writing = new AbortController()
let runs: Promise<void>[] = []

beforeAll(async () => {
  await cluster.start(modes, maxStalenessMs)
  for (let number = 0; number < modes.length; number += 1) {
    const writer = new AccessWriter({ number, catalog: cluster.catalog, tenancy: cluster.tenancy, random })
    await writer.setUp()
    writers.push(writer)
  }
  runs = writers.map(async (writer) => {
    while (!writing.signal.aborted) {
      await writer.step()
      await sleep(random() * 30)
    }
  })
  checker.start(cluster, () => (writers[Math.floor(random() * writers.length)] as AccessWriter).subjects, 4)
}, 600_000)

afterAll(async () => {
  writing.abort()
  await Promise.all(runs)
  await checker.stop()
  await cluster.close()
}, 60_000)

/** What the run has covered: the fewest changes of a writer, and the fewest allowed and denied requests of a mode. */
function evidence(): { changes: number; allowed: number; denied: number } {
  const perMode = [...new Set(modes)].map((mode) => {
    const figures = [...checker.figures].filter(([name]) => name.endsWith(`, ${mode}`)).map(([, figure]) => figure)
    const sum = (count: (figure: Figures) => number) => figures.reduce((total, figure) => total + count(figure), 0)
    return {
      allowed: sum(({ allowed }) => allowed),
      denied: sum(({ answers, allowed, unavailable, unanswered }) => answers - allowed - unavailable - unanswered),
    }
  })
  return {
    changes: Math.min(...writers.map(({ changes }) => changes)),
    allowed: Math.min(...perMode.map(({ allowed }) => allowed)),
    denied: Math.min(...perMode.map(({ denied }) => denied)),
  }
}

/** Resolves when every process allows and denies again, without a restart. */
async function recovered(): Promise<void> {
  for (const app of cluster.apps) {
    const answered = async (status: number) => {
      const { subjects } = writers[Math.floor(random() * writers.length)] as AccessWriter
      const subject = subjects[Math.floor(random() * subjects.length)]
      return subject !== undefined && (await checker.ask(app, subject, answerTimeoutMs)) === status
    }
    await expect.poll(() => answered(200), { interval: 5, timeout: recoveryTimeoutMs }).toBe(true)
    await expect.poll(() => answered(403), { interval: 5, timeout: recoveryTimeoutMs }).toBe(true)
  }
}

describe(`Four processes under random changes and faults (T2F_SEED=${seed})`, () => {
  test(
    'Without a fault, no process of four gives a wrong answer under random changes',
    { timeout: 1_200_000 },
    async () => {
      await recovered()
      await sleep(holdMs)
      expect(checker.violations).toEqual([])
    },
  )

  for (const fault of faults) {
    testWith(
      fault.needsRedis === true ? redis : undefined,
      `Under the fault "${fault.name}" no process gives a wrong answer or a 500, and all recover`,
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          checker.fault = fault.name
          await fault.run(cluster, holdMs, random)
          await recovered()
          checker.fault = 'none'
          await sleep(holdMs / 10)
          expect(checker.violations).toEqual([])
        }
      },
      { timeout: 86_400_000 },
    )
  }

  test('The run has covered enough: every mode allowed and denied requests, and every writer made changes', async () => {
    // What the faults left too little time for, on a machine that is busy, happens now.
    await expect
      .poll(
        () => {
          const { changes, allowed, denied } = evidence()
          return changes > 20 && allowed > 100 && denied > 100
        },
        { interval: 50, timeout: 1_200_000 },
      )
      .toBe(true)
    printFigures(checker, writers, seed)
    expect(checker.violations).toEqual([])
  }, 1_300_000)
})
