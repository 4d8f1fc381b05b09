import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createApiKeyFormat } from '../../src/identity/api-key-format.js'

const secret = randomBytes(32)
const format = createApiKeyFormat(secret)

test('A key has one form, and its hash is the SHA-256 of its text', () => {
  const { text, prefix, hash } = format.make()
  expect(text).toMatch(/^t2f_[0-9A-Za-z]{8}_[0-9A-Za-z]{55}$/)
  expect(text.startsWith(`${prefix}_`)).toBe(true)
  expect(hash).toEqual(createHash('sha256').update(text).digest())
  expect(format.hashOf(text)).toEqual(hash)
  expect(createApiKeyFormat(secret).hashOf(text)).toEqual(hash)
})

test('A key with any one character changed, and the key of another installation, are refused', () => {
  const { text } = format.make()
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.constantFrom('0', 'a', 'Z', '_', '-', '.', ' ', 'é'), (index, letter) => {
      fc.pre(text[index] !== letter)
      expect(format.hashOf(text.slice(0, index) + letter + text.slice(index + 1))).toBeUndefined()
    }),
  )
  expect(format.hashOf(createApiKeyFormat(randomBytes(32)).make().text)).toBeUndefined()
})

test('No other text is a key', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `t2f_${text}`),
      ),
      (text) => {
        expect(format.hashOf(text)).toBeUndefined()
      },
    ),
  )
})
