import { expect, test } from 'vitest'
import { createQueueHistory } from '../../../src/databases/watch/queue-history.js'

test('The time without a name counts from the first answer without one, and starts anew after a name', () => {
  const history = createQueueHistory()
  expect(history.record(0.6, undefined, 100, 110)).toMatchObject({ holder: undefined, unnamedMs: 0 })
  expect(history.record(0.7, undefined, 1110, 1120)).toMatchObject({ unnamedMs: 1000 })
  expect(history.record(0.8, 7, 2000, 2010)).toMatchObject({ holder: 7, unnamedMs: 0 })
  expect(history.record(0.8, undefined, 3000, 3010)).toMatchObject({ unnamedMs: 0 })
  history.clear()
  expect(history.record(0.6, undefined, 9000, 9010)).toMatchObject({ unnamedMs: 0 })
})

test('The time that the queue has been full is never overstated, and starts anew when the queue was emptied', () => {
  const history = createQueueHistory()
  expect(history.record(0.97, undefined, 0, 10)).toMatchObject({ fullMs: 0 })
  // Full when the answer came, and perhaps not yet when the check was sent.
  expect(history.record(0.99, undefined, 100, 200)).toMatchObject({ fullMs: 0 })
  expect(history.record(1, undefined, 700, 710)).toMatchObject({ fullMs: 500 })
  expect(history.record(0.99, undefined, 800, 810)).toMatchObject({ fullMs: 0 })
  expect(history.record(0.99, undefined, 910, 920)).toMatchObject({ fullMs: 100 })
  expect(history.record(0.9, undefined, 1000, 1010)).toMatchObject({ fullMs: 0 })
  expect(history.record(0.99, undefined, 1100, 1110)).toMatchObject({ fullMs: 0 })
})
