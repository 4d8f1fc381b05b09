import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Popularity } from '../../src/connections/popularity.js'

test('requests are counted by key; nobody has asked for the others', () => {
  const popularity = new Popularity(100)
  for (const key of ['a', 'b', 'a']) popularity.count(key)
  expect(['a', 'b', 'c'].map((key) => popularity.of(key))).toEqual([2, 1, 0])
})

test('after each sample the counts are halved: what is not asked for any more fades', () => {
  const popularity = new Popularity(8)
  for (let count = 0; count < 8; count += 1) popularity.count('a')
  expect(popularity.of('a')).toBe(4)
  for (let count = 0; count < 24; count += 1) popularity.count(`other ${count}`)
  expect(popularity.of('a')).toBe(0)
})

test('whatever is asked for, two samples of keys are remembered at most', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.nat(50), { maxLength: 500 }), (sampleSize, keys) => {
      const popularity = new Popularity(sampleSize)
      for (const key of keys) popularity.count(String(key))
      expect(Array.from({ length: 51 }, (_, key) => popularity.of(String(key))).filter(Boolean).length).toBeLessThan(
        2 * sampleSize,
      )
    }),
  )
})
