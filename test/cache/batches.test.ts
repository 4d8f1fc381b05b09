import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createBatch } from '../../src/cache/batches.js'

test('questions asked in one turn of the event loop share one read, and each gets its own answer', async () => {
  const reads: number[][] = []
  const ask = createBatch(async (questions: readonly number[]) => {
    reads.push([...questions])
    return questions.map((question) => question * 2)
  })
  expect(await Promise.all([1, 2, 3].map(ask))).toEqual([2, 4, 6])
  expect(await ask(4)).toBe(8)
  expect(reads).toEqual([[1, 2, 3], [4]])
})

test('while the most allowed reads run, further questions wait for the next read, which stays within its size', async () => {
  const reads: number[] = []
  let letGo = () => {}
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const ask = createBatch(
    async (questions: readonly number[]) => {
      reads.push(questions.length)
      await held
      return questions
    },
    { maxSize: 4, maxRunning: 1 },
  )
  const first = ask(0)
  await expect.poll(() => reads).toEqual([1])
  const rest = Array.from({ length: 10 }, (_, index) => ask(index + 1))
  letGo()
  expect(await Promise.all([first, ...rest])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(reads).toEqual([1, 4, 4, 2])
})

test('no read answers a question that was asked after it began', async () => {
  let asked = 0
  const ask = createBatch(async (questions: readonly number[]) => {
    const seen = asked
    await sleep(5)
    return questions.map(() => seen)
  })
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      await sleep(Math.random() * 30)
      asked += 1
      const mine = asked
      expect(await ask(mine)).toBeGreaterThanOrEqual(mine)
    }),
  )
})

test('a failed read rejects the questions it was for and no others', async () => {
  let isDown = true
  const ask = createBatch(async (questions: readonly number[]) => {
    if (isDown) throw new Error('down')
    return questions
  })
  expect((await Promise.allSettled([ask(1), ask(2)])).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  isDown = false
  expect(await ask(3)).toBe(3)
})
