import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { isSame, type Json, type JsonObject, mergePatch } from '../../../src/catalog/settings/json-object.js'
import { readSettingsSchema, secret } from '../../../src/catalog/settings/settings-schema.js'
import { createSettingsSeal } from '../../../src/catalog/settings/settings-seal.js'

const schema = z.object({
  theme: z.enum(['light', 'dark']).default('light'),
  mail: z.object({ port: z.int().min(1).default(25), password: secret(z.string().min(3)).optional() }).prefault({}),
  tags: z.array(z.string()).default([]),
})

test('Secrets are found through optional, default and nullable, at any depth of objects', () => {
  expect(readSettingsSchema(schema).secrets).toEqual([['mail', 'password']])
  const text = z.string()
  const shared = z.object({ a: secret(text).nullable().default(null), b: text.default('') })
  expect(readSettingsSchema(shared).secrets).toEqual([['a']])
  const refined = z.object({ a: secret(z.string()).min(8).optional() })
  expect(readSettingsSchema(refined).secrets).toEqual([['a']])
})

test('A schema that cannot serve is refused: secrets in lists, records and unions, no defaults, async, no object', () => {
  const hidden = [
    z.object({ list: z.array(secret(z.string())).default([]) }),
    z.object({ record: z.record(z.string(), z.object({ x: secret(z.string()) })).default({}) }),
    z.object({ either: z.union([z.string(), z.object({ x: secret(z.string()) })]).optional() }),
    z.object({ late: z.lazy(() => secret(z.string())).optional() }),
    z.object({ needed: z.string() }),
    z.object({
      slow: z
        .string()
        .default('')
        .refine(async () => true),
    }),
    secret(z.object({})),
    z.string() as unknown as z.ZodObject,
    // Of another version of zod, and of none.
    { _def: { typeName: 'ZodObject' } } as unknown as z.ZodObject,
    {} as unknown as z.ZodObject,
  ]
  for (const bad of hidden) {
    expect(() => readSettingsSchema(bad)).toThrow(expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID' }))
  }
})

test('Stored values that do not fit give defaults, and the others stay', () => {
  const read = readSettingsSchema(schema)
  expect(read.parseWhatFits({ theme: 'pink', mail: { port: 0, password: 'abc' }, tags: ['a', 1] })).toEqual({
    settings: { theme: 'light', mail: { port: 25, password: 'abc' }, tags: [] },
    invalid: ['theme', 'mail.port', 'tags.1'],
  })
  expect(read.parseWhatFits({ gone: 1, mail: 'x' })).toEqual({
    settings: { theme: 'light', mail: { port: 25 }, tags: [] },
    invalid: ['mail'],
  })
})

test('Reading never fails, whatever is stored', () => {
  const read = readSettingsSchema(schema)
  const stored = fc.record(
    {
      theme: fc.jsonValue(),
      mail: fc.oneof(
        fc.record({ port: fc.jsonValue(), password: fc.jsonValue() }, { requiredKeys: [] }),
        fc.jsonValue(),
      ),
      tags: fc.oneof(fc.array(fc.jsonValue()), fc.jsonValue()),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(stored, (value) => {
      const { settings } = read.parseWhatFits(value as JsonObject)
      expect(schema.safeParse(settings).success).toBe(true)
    }),
  )
})

test('A merge patch does as RFC 7396 says, for every pair of documents', () => {
  // Section 2 of the RFC, line by line, on plain objects.
  const reference = (target: Json | undefined, patch: Json): Json => {
    if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
    const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {}
    const result = new Map<string, Json>(Object.entries(base as JsonObject))
    for (const [name, value] of Object.entries(patch as JsonObject)) {
      if (value === null) result.delete(name)
      else result.set(name, reference(result.get(name), value))
    }
    return Object.fromEntries(result)
  }
  const json = fc.jsonValue() as fc.Arbitrary<Json>
  fc.assert(
    fc.property(json, json, (target, patch) => {
      const merged = mergePatch(target, patch)
      expect(isSame(merged, reference(target, patch))).toBe(true)
      expect(isSame(mergePatch(merged, patch), merged)).toBe(true)
    }),
  )
  expect(mergePatch({ a: 'b', c: { d: 'e', f: 'g' } }, { a: 'z', c: { f: null } })).toEqual({ a: 'z', c: { d: 'e' } })
  const evil = mergePatch({}, JSON.parse('{"__proto__": {"isAdmin": true}}') as Json)
  expect(Object.hasOwn(evil as object, '__proto__')).toBe(true)
  expect('isAdmin' in {}).toBe(false)
})

test('What is sealed opens at its place only, and not when a bit has changed', () => {
  const seal = createSettingsSeal(Buffer.alloc(32, 1))
  const mismatch = expect.objectContaining({ code: 'TENANCY_CONFIG_SECRET_MISMATCH' })
  fc.assert(
    fc.property(fc.string(), fc.nat(), (value, at) => {
      const sealed = seal.seal(value, 'tenant', 'mail.password')
      expect(seal.open(sealed, 'tenant', 'mail.password')).toBe(value)
      expect(() => seal.open(sealed, 'other', 'mail.password')).toThrow(mismatch)
      expect(() => seal.open(sealed, 'tenant', 'mail.user')).toThrow(mismatch)
      const bytes = Buffer.from(sealed, 'base64url')
      const index = at % bytes.length
      bytes[index] = (bytes[index] ?? 0) ^ 1
      expect(() => seal.open(bytes.toString('base64url'), 'tenant', 'mail.password')).toThrow(mismatch)
    }),
  )
  const other = createSettingsSeal(Buffer.alloc(32, 2))
  expect(() => other.open(seal.seal('x', 't', 'p'), 't', 'p')).toThrow(mismatch)
})
