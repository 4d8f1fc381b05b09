import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RequestFrequency } from '../../../src/connections/allocation/request-frequency.js'

test('requests are counted by key, and keys without requests count zero', () => {
  const frequency = new RequestFrequency(100)
  for (const key of ['a', 'b', 'a']) frequency.count(key, 1)
  expect(['a', 'b', 'c'].map((key) => frequency.of(key, 1))).toEqual([2, 1, 0])
})

test('a request counts for each place that it needs at once', () => {
  const frequency = new RequestFrequency(100)
  for (const places of [1, 3, 1, 2]) frequency.count('a', places)
  expect([1, 2, 3, 4].map((place) => frequency.of('a', place))).toEqual([4, 2, 1, 0])
})

test('counts are halved after each sample, so keys that are no longer asked for fade', () => {
  const frequency = new RequestFrequency(8)
  for (let count = 0; count < 8; count += 1) frequency.count('a', count % 4 === 0 ? 2 : 1)
  expect([1, 2].map((place) => frequency.of('a', place))).toEqual([4, 1])
  for (let count = 0; count < 24; count += 1) frequency.count(`other ${count}`, 1)
  expect([1, 2].map((place) => frequency.of('a', place))).toEqual([0, 0])
})

test('a key is forgotten after the same number of other requests, however often it was asked for', () => {
  const forgottenAfter = (requests: number): number => {
    const frequency = new RequestFrequency(20)
    for (let count = 0; count < requests; count += 1) frequency.count('burst', 5)
    let others = 0
    for (; frequency.of('burst', 5) > 0; others += 1) frequency.count(`other ${others}`, 1)
    return others
  }
  expect(forgottenAfter(1_000_000)).toBe(forgottenAfter(15))
})

test('a burst of one key does not make others be forgotten', () => {
  const frequency = new RequestFrequency(20)
  for (let count = 0; count < 4; count += 1) frequency.count('quiet', 1)
  for (let count = 0; count < 1000; count += 1) frequency.count('burst', 1)
  expect(frequency.of('quiet', 1)).toBeGreaterThan(0)
  expect(frequency.of('burst', 1)).toBeGreaterThan(frequency.of('quiet', 1))
})

test('a full count does not hide how many places are needed at once', () => {
  const frequency = new RequestFrequency(100)
  for (let count = 0; count < 20; count += 1) frequency.count('a', 1)
  for (let count = 0; count < 3; count += 1) frequency.count('a', 2)
  expect([1, 2, 3].map((place) => frequency.of('a', place))).toEqual([15, 3, 0])
})

test('at most two samples of keys are remembered, whatever is asked for', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.nat(50), { maxLength: 500 }), (sampleSize, keys) => {
      const frequency = new RequestFrequency(sampleSize)
      for (const key of keys) frequency.count(String(key), 1)
      expect(Array.from({ length: 51 }, (_, key) => frequency.of(String(key), 1)).filter(Boolean).length).toBeLessThan(
        2 * sampleSize,
      )
    }),
  )
})
