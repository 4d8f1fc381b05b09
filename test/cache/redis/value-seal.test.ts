import { randomBytes, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createValueSeal } from '../../../src/cache/redis/value-seal.js'

const secret = randomBytes(32)
const installation = randomUUID()
const seal = createValueSeal(secret, installation)
const text = fc.string({ unit: 'grapheme', maxLength: 60 })

test('a sealed text opens under its own key, whatever it holds', () => {
  fc.assert(
    fc.property(text, text, (key, value) => {
      expect(seal.open(key, Buffer.from(seal.seal(key, value)))).toBe(Buffer.from(value).toString())
    }),
  )
})

test('a value with any byte changed, inserted, removed or appended does not open', () => {
  fc.assert(
    fc.property(text, text, fc.nat(), fc.integer({ min: 1, max: 255 }), (key, value, at, by) => {
      const sealed = Buffer.from(seal.seal(key, value))
      const place = at % sealed.length
      const changed = Buffer.from(sealed)
      changed[place] = (changed[place] ?? 0) ^ by
      const inserted = Buffer.concat([sealed.subarray(0, place), Buffer.from([by]), sealed.subarray(place)])
      const without = Buffer.concat([sealed.subarray(0, place), sealed.subarray(place + 1)])
      const longer = Buffer.concat([sealed, Buffer.from([by])])
      for (const forged of [changed, inserted, without, longer, sealed.subarray(0, place)]) {
        if (!forged.equals(sealed)) expect(seal.open(key, forged)).toBeUndefined()
      }
    }),
    { numRuns: 500 },
  )
})

test('changing any single byte of a value keeps it from opening', () => {
  const sealed = Buffer.from(seal.seal('key', 'value'))
  for (let place = 0; place < sealed.length; place += 1) {
    for (let by = 1; by < 256; by += 1) {
      const changed = Buffer.from(sealed)
      changed[place] = (changed[place] ?? 0) ^ by
      expect(seal.open('key', changed)).toBeUndefined()
    }
  }
})

test('a value opens under no other key, not even where key and text could be cut elsewhere', () => {
  fc.assert(
    fc.property(text, text, text, (key, other, value) => {
      fc.pre(Buffer.from(key).toString() !== Buffer.from(other).toString())
      expect(seal.open(other, Buffer.from(seal.seal(key, value)))).toBeUndefined()
    }),
  )
  const sealed = seal.seal('key', '1value')
  expect(seal.open('key1', Buffer.from(sealed.slice(0, 43) + sealed.slice(44)))).toBeUndefined()
})

test('another secret or another installation gives another MAC', () => {
  const sealed = Buffer.from(seal.seal('key', 'value'))
  expect(createValueSeal(secret, installation).open('key', sealed)).toBe('value')
  expect(createValueSeal(randomBytes(32), installation).open('key', sealed)).toBeUndefined()
  expect(createValueSeal(secret, randomUUID()).open('key', sealed)).toBeUndefined()
})

test('a secret below 32 bytes is refused', () => {
  expect(() => createValueSeal(randomBytes(31), installation)).toThrow(RangeError)
})
