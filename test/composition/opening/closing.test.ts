import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createClosing } from '../../../src/composition/opening/closing.js'

test('Parts are closed one after the other, in reverse order of opening', async () => {
  const closing = createClosing()
  const order: string[] = []
  for (const name of ['server', 'catalog', 'pools']) {
    closing.add(async () => {
      order.push(`${name} begins`)
      await sleep(1)
      order.push(`${name} ends`)
    })
  }
  closing.add(() => void order.push('at once'))
  await closing.close()
  expect(order).toEqual([
    'at once',
    'pools begins',
    'pools ends',
    'catalog begins',
    'catalog ends',
    'server begins',
    'server ends',
  ])
})

test('A part that fails to close stops no other part from closing, and the first failure is thrown', async () => {
  const closing = createClosing()
  const closed: string[] = []
  closing.add(() => void closed.push('server'))
  closing.add(() => {
    throw new Error('second')
  })
  closing.add(() => void closed.push('catalog'))
  closing.add(() => Promise.reject(new Error('first')))
  await expect(closing.close()).rejects.toThrow('first')
  expect(closed).toEqual(['catalog', 'server'])
})

test('A second call of close waits for the first and closes nothing twice', async () => {
  const closing = createClosing()
  let count = 0
  closing.add(async () => {
    await sleep(5)
    count += 1
  })
  await Promise.all([closing.close(), closing.close()])
  expect(count).toBe(1)
  await closing.close()
  expect(count).toBe(1)
})
