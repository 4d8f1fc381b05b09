import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Operation } from '../../../src/api/operation.js'
import { prepare } from './fixtures.js'
import { createWorld, nameOf, operations, type World } from './world.js'

// A right body with one thing more, or of another kind, anywhere in it: refused, and nothing of it is stored.

let world: World
beforeAll(async () => {
  world = await createWorld()
})
afterAll(() => world.close())

/** What somebody would like to set: columns, fields of other operations, and names that objects of JavaScript have. */
const wanted = [
  ...['id', 'tenant', 'tenantId', 'tenant_id', 'user', 'userId', 'user_id', 'owner', 'to', 'from', 'actor', 'actorId'],
  ...['roles', 'role', 'permissions', 'permission', 'isActive', 'is_active', 'isBuiltIn', 'isSystem', 'isDefault'],
  ...['status', 'version', 'createdBy', 'created_by', 'createdAt', 'updatedAt', 'deletedAt', 'disabledAt', 'expiresAt'],
  ...['maxUsers', 'max_users', 'labels', 'slug', 'email', 'emailVerified', 'email_verified', 'ifUpdatedAt', 'token'],
  ...[
    'serviceAccount',
    'apiKey',
    'key',
    'secret',
    'scope',
    'platform',
    'invitedBy',
    'sends',
    'limit',
    'after',
    'params',
  ],
  ...[
    'constructor',
    'prototype',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'then',
    'toJSON',
    '$set',
    '',
    ' name',
    'NAME',
  ],
] as const

/** A value of each kind that a program could take for something. */
const values = [true, null, 'Owner', 1, ['Owner'], { isActive: true, constructor: { prototype: { isAdmin: true } } }]

/** Where free content is allowed by the document: the member's attributes are the application's. */
const isFree = (pointer: string) => pointer === '/attributes'

/** Bodies as text, each with one thing that is not declared. `__proto__` is only a field in text. */
function* wrongBodies(operation: Operation, body: object): Generator<readonly [what: string, body: string]> {
  for (const [index, name] of wanted.entries()) {
    for (const [pointer, text, at] of placesIn(body)) {
      if (isFree(pointer) || isDeclared(operation, pointer, name)) continue
      const more = `${JSON.stringify(name)}:${JSON.stringify(values[(index + pointer.length) % values.length])}`
      yield [`${pointer}/${name}`, `${text.slice(0, at)}${more}${text[at] === '}' ? '' : ','}${text.slice(at)}`]
    }
  }
  for (const [name, value] of Object.entries(body)) {
    const others: readonly unknown[] = Array.isArray(value)
      ? [
          { 0: value[0] as unknown },
          [...(value as unknown[]), { id: randomUUID() }],
          [...(value as unknown[]), [value[0]]],
          'x',
        ]
      : typeof value === 'object' && value !== null
        ? [[value], 'x', 1]
        : [[value], { toString: value }, { $ne: null }]
    for (const other of others) yield [`${name}: ${JSON.stringify(other)}`, JSON.stringify({ ...body, [name]: other })]
  }
  for (const whole of [[body], [], 'x', 1, null, true]) yield [JSON.stringify(whole), JSON.stringify(whole)]
}

/** Every object in a body: its pointer, the text of the body, and where in it the object's first field begins. */
function placesIn(body: object): (readonly [pointer: string, text: string, at: number])[] {
  const mark = 'mark-of-the-place'
  const places: (readonly [string, string, number])[] = []
  const visit = (value: unknown, pointer: string, whole: (marked: object) => object) => {
    if (typeof value !== 'object' || value === null) return
    if (!Array.isArray(value)) {
      const text = JSON.stringify(whole({ [mark]: 0, ...value }))
      const at = text.indexOf(`"${mark}":0`)
      places.push([pointer, text.replace(`"${mark}":0,`, '').replace(`"${mark}":0`, ''), at])
    }
    for (const [name, member] of Object.entries(value)) {
      visit(member, `${pointer}/${name}`, (marked) =>
        whole(
          Array.isArray(value)
            ? value.map((each: unknown, index) => (String(index) === name ? marked : each))
            : { ...value, [name]: marked },
        ),
      )
    }
  }
  visit(body, '', (marked) => marked)
  return places
}

interface JsonSchema {
  readonly $ref?: string
  readonly anyOf?: readonly JsonSchema[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
}

/** Whether the document has the field, at the top of the body. */
function isDeclared(operation: Operation, pointer: string, name: string): boolean {
  if (pointer !== '') return false
  const { paths, components } = world.api.api.document as unknown as {
    readonly paths: Record<
      string,
      Record<string, { requestBody?: { content: Record<string, { schema: JsonSchema }> } }>
    >
    readonly components: { readonly schemas: Record<string, JsonSchema> }
  }
  const has = (schema: JsonSchema | undefined): boolean => {
    if (schema?.$ref !== undefined) return has(components.schemas[schema.$ref.split('/').at(-1) ?? ''])
    if (schema?.anyOf !== undefined) return schema.anyOf.some(has)
    return Object.hasOwn(schema?.properties ?? {}, name)
  }
  return has(paths[operation.path]?.[operation.method]?.requestBody?.content['application/json']?.schema)
}

const withBodies = operations.filter(({ body }) => body !== undefined)
describe.each(withBodies.map((operation) => [nameOf(operation), operation] as const))('%s', (_, operation) => {
  test('What the operation does not declare is refused wherever it stands, and changes nothing', async () => {
    const { send, body } = await prepare(world, operation)
    if (body === undefined) throw new Error(`${operation.id}: add its body to fixtures.ts`)
    const before = await world.fingerprint()
    let tried = 0
    for (const [what, text] of wrongBodies(operation, body)) {
      const { status, json } = await send({ body: text })
      expect([400, 422], `${what}: ${text}: ${JSON.stringify(json)}`).toContain(status)
      tried += 1
    }
    expect(tried).toBeGreaterThan(wanted.length / 2)
    expect(await world.fingerprint()).toBe(before)
    // It was these things alone that were wrong.
    expect((await send()).status).toBe(operation.answer.status)
    expect(({} as { isAdmin?: unknown; isActive?: unknown }).isAdmin).toBeUndefined()
  })
})
