import { expect, test } from 'vitest'
import { createQueueMemory } from '../../../src/databases/watch/queue-memory.js'

test('how long no name was given is counted from the first answer without one, and anew after a name', () => {
  const memory = createQueueMemory()
  expect(memory.see(0.6, undefined, 100, 110)).toMatchObject({ holder: undefined, unnamedMs: 0 })
  expect(memory.see(0.7, undefined, 1110, 1120)).toMatchObject({ unnamedMs: 1000 })
  expect(memory.see(0.8, 7, 2000, 2010)).toMatchObject({ holder: 7, unnamedMs: 0 })
  expect(memory.see(0.8, undefined, 3000, 3010)).toMatchObject({ unnamedMs: 0 })
  memory.forget()
  expect(memory.see(0.6, undefined, 9000, 9010)).toMatchObject({ unnamedMs: 0 })
})

test('how long the queue has been full is never more than it was, and counted anew when the queue went on', () => {
  const memory = createQueueMemory()
  expect(memory.see(0.97, undefined, 0, 10)).toMatchObject({ fullMs: 0 })
  // Full when the answer came, and perhaps not yet when the look was sent.
  expect(memory.see(0.99, undefined, 100, 200)).toMatchObject({ fullMs: 0 })
  expect(memory.see(1, undefined, 700, 710)).toMatchObject({ fullMs: 500 })
  expect(memory.see(0.99, undefined, 800, 810)).toMatchObject({ fullMs: 0 })
  expect(memory.see(0.99, undefined, 910, 920)).toMatchObject({ fullMs: 100 })
  expect(memory.see(0.9, undefined, 1000, 1010)).toMatchObject({ fullMs: 0 })
  expect(memory.see(0.99, undefined, 1100, 1110)).toMatchObject({ fullMs: 0 })
})
