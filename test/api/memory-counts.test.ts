import { describe, expect, test, vi } from 'vitest'
import { createMemoryCounts, createUsedUpKeys } from '../../src/api/limits/memory-counts.js'

describe('counts in memory', () => {
  test('A window begins with the first request, and the next one when it is over', () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000)
    try {
      const counts = createMemoryCounts(2, 60)
      expect(counts.consume('a')).toEqual({ consumed: 1, msLeft: 60_000 })
      now.mockReturnValue(31_000)
      expect(counts.consume('a')).toEqual({ consumed: 2, msLeft: 30_000 })
      expect(() => counts.consume('a')).toThrow(
        expect.objectContaining({ code: 'TENANCY_REQUEST_TOO_MANY', retryAfterSeconds: 30 }) as Error,
      )
      expect(counts.consume('b')).toEqual({ consumed: 1, msLeft: 60_000 })
      now.mockReturnValue(61_000)
      expect(counts.consume('a')).toEqual({ consumed: 1, msLeft: 60_000 })
    } finally {
      now.mockRestore()
    }
  })

  test('Whoever is refused and goes on does not wait longer for it', () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(0)
    try {
      const counts = createMemoryCounts(1, 60)
      counts.consume('a')
      for (let ms = 1000; ms < 60_000; ms += 1000) {
        now.mockReturnValue(ms)
        expect(() => counts.consume('a')).toThrow()
      }
      now.mockReturnValue(60_000)
      expect(counts.consume('a').consumed).toBe(1)
    } finally {
      now.mockRestore()
    }
  })

  test('Callers with many addresses push out those that were not seen for longest, and no more than 100,000 are kept', () => {
    const counts = createMemoryCounts(1, 60)
    counts.consume('first')
    for (let index = 0; index < 99_999; index += 1) counts.consume(`address ${index}`)
    expect(() => counts.consume('first')).toThrow()
    counts.consume('one more')
    // `address 0` made room.
    expect(counts.consume('address 0').consumed).toBe(1)
    expect(() => counts.consume('first')).toThrow()
  })
})

test('A key that is used up is refused until its time is over', () => {
  const now = vi.spyOn(performance, 'now').mockReturnValue(0)
  try {
    const keys = createUsedUpKeys()
    keys.check('a')
    keys.block('a', 5000)
    now.mockReturnValue(4999)
    expect(() => keys.check('a')).toThrow(
      expect.objectContaining({ code: 'TENANCY_REQUEST_TOO_MANY', retryAfterSeconds: 1 }) as Error,
    )
    keys.check('b')
    now.mockReturnValue(5000)
    keys.check('a')
  } finally {
    now.mockRestore()
  }
})
