import { expect, test } from 'vitest'
import { z } from 'zod'
import { parse, schemaOf } from '../../src/catalog/input.js'

interface Input {
  readonly tenant: string
  readonly roles?: readonly string[] | undefined
}

const schema = schemaOf<Input>()(
  z.strictObject({ tenant: z.string(), roles: z.array(z.string()).readonly().optional() }),
)

const messageOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    expect(error).toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
    return (error as Error).message
  }
  throw new Error('nothing was refused')
}

test('a schema that does not take exactly its interface does not compile', () => {
  const roles = z.array(z.string()).readonly().optional()
  // @ts-expect-error: a key is missing
  schemaOf<Input>()(z.strictObject({ tenant: z.string() }))
  // @ts-expect-error: an additional key, even an optional one
  schemaOf<Input>()(z.strictObject({ tenant: z.string(), roles, color: z.string().optional() }))
  // @ts-expect-error: another type
  schemaOf<Input>()(z.strictObject({ tenant: z.number(), roles }))
  // @ts-expect-error: accepts more than the interface
  schemaOf<Input>()(z.strictObject({ tenant: z.string().nullable(), roles }))
  // @ts-expect-error: accepts less
  schemaOf<Input>()(z.strictObject({ tenant: z.literal('acme'), roles }))
  // @ts-expect-error: a mutable array
  schemaOf<Input>()(z.strictObject({ tenant: z.string(), roles: z.array(z.string()).optional() }))
  // @ts-expect-error: an optional key
  schemaOf<Input>()(z.strictObject({ tenant: z.string().optional(), roles }))
  expect(parse(schema, { tenant: 'acme', roles: ['Admin'] })).toEqual({ tenant: 'acme', roles: ['Admin'] })
})

test.each([
  ['text', 'acme', 'a string'],
  ['nothing', undefined, 'undefined'],
  ['null', null, 'null'],
  ['an array', ['acme'], 'an array'],
])('the error for an input that is %s says which object is expected', (_kind, input, kind) => {
  expect(messageOf(() => parse(schema, input))).toBe(
    `Invalid input: expected one object { tenant, roles? }, received ${kind}`,
  )
})

test('an error names every problem of an input, unknown keys included', () => {
  const message = messageOf(() => parse(schema, { roles: 'Admin', acter: 'x' }))
  for (const key of ['tenant', 'roles', 'acter']) expect(message).toContain(key)
})

test('the error for an input with two shapes is about the shape that comes closest', () => {
  const either = z.union([
    z.strictObject({ user: z.string(), permission: z.string() }),
    z.strictObject({ user: z.string(), method: z.string(), path: z.string() }),
  ])
  expect(messageOf(() => parse(either, { user: 'x', method: 'GET' }))).toContain('path')
  expect(messageOf(() => parse(either, 'x'))).toContain('{ user, permission } or { user, method, path }')
})
