import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Operation } from '../../../src/api/operation.js'
import { fixtures, prepare } from './fixtures.js'
import { createWorld, type Ids, isOfPlatform, nameOf, operations, type Scene, told, type World } from './world.js'

// Every id and name that an operation takes, in its path, body or query, is swapped for those of others and of other things.

let world: World
let own: Scene
let foreign: Scene
let unchanged: string
beforeAll(async () => {
  world = await createWorld()
  own = await world.createScene()
  foreign = await world.createScene('foreign')
  unchanged = await world.fingerprint()
})
afterAll(() => world.close())

/** A scene whose ids are their own names: shows where an operation uses which. */
const names = new Proxy({}, { get: (_, name) => `<${String(name)}>` }) as Ids
const emptyScene = { tenant: {}, token: '', guestEmail: '' } as unknown as Scene
function idsOf(operation: Operation): readonly string[] {
  const { body, query } = fixtures[operation.id] ?? {}
  const text = JSON.stringify([body?.(names, emptyScene), query?.(names, emptyScene)])
  const used = [
    ...`${operation.path.replaceAll(/[{}]/g, (brace) => (brace === '{' ? '<' : '>'))} ${text}`.matchAll(/<(\w+)>/g),
  ]
  return [...new Set(used.map(([, name]) => name ?? ''))]
}
const withIds = operations.filter((operation) => idsOf(operation).length > 0)

/** Names of things of the platform are text; everything else is an id. */
const isName = (operation: Operation, name: string) =>
  name === 'permission' || name === 'category' || (isOfPlatform(operation) && /^(role|included)$/.test(name))
const malformed = ['x', '%', "' or true --", '__proto__', 'constructor', '\u202e', 'a'.repeat(90), 'null', '*']

test('Ids in bodies and queries are known: the document has no other', () => {
  const { paths, components } = world.api.api.document as unknown as {
    readonly paths: Record<string, Record<string, DocumentedOperation>>
    readonly components: { readonly schemas: Record<string, { readonly properties?: Record<string, Property> }> }
  }
  for (const methods of Object.values(paths)) {
    for (const { operationId, requestBody, parameters = [] } of Object.values(methods)) {
      const schemas = [...JSON.stringify(requestBody ?? {}).matchAll(/schemas\/(\w+)/g)].map(([, name = '']) => name)
      const fields = [
        ...schemas.flatMap((name) => Object.entries(components.schemas[name]?.properties ?? {})),
        // A cursor is no id of something that is read or changed.
        ...parameters
          .filter((each) => each.in === 'query' && each.name !== 'after')
          .map((each) => [each.name, each.schema]),
      ] as [string, Property][]
      const operation = operations.find(({ id }) => id === operationId)
      expect(operation, operationId).toBeDefined()
      for (const [name, { format }] of fields) {
        if (format !== 'uuid') continue
        expect(operation && idsOf(operation), `${operationId}: put ${name} into fixtures.ts`).toContain(name)
      }
    }
  }
})

interface Property {
  readonly format?: string
}
interface DocumentedOperation {
  readonly operationId: string
  readonly requestBody?: object
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Property }[]
}

describe.each(withIds.map((operation) => [nameOf(operation), operation] as const))('%s', (_, operation) => {
  test.each(idsOf(operation))(
    '{%s}: one of others, of another kind or of no form is as one that nothing has',
    async (name) => {
      const { send, ids } = await prepare(world, operation, own)
      const isFilter = fixtures[operation.id]?.query?.(ids, own)?.[name] === ids[name] && operation.method === 'get'
      const sent = async (id: string) => send({ ids: { ...ids, [name]: id } })
      const isText = name === 'permission' || name === 'category'
      const missing = isText ? `nothing-${randomUUID().slice(0, 8)}:none` : randomUUID()
      const nothing = await sent(missing)
      if (isFilter) expect([nothing.status, nothing.json.items ?? nothing.json]).toEqual([200, []])
      else expect(nothing.status, JSON.stringify(nothing.json)).toBeGreaterThanOrEqual(400)
      const expected = told(nothing, missing)

      for (const id of swapsOf(operation, name, ids)) {
        expect(told(await sent(id), id), `${name}: ${id}`).toEqual(expected)
      }
      for (const text of malformed) {
        const { status, json } = await sent(text)
        expect([400, 403, 404], `${name}: ${text}: ${JSON.stringify(json)}`).toContain(status)
      }
      expect(await world.fingerprint()).toBe(unchanged)
    },
  )
})

/** What is somebody's, and nothing of that kind in this tenant. */
function swapsOf(operation: Operation, name: string, ids: Ids): string[] {
  const others = isOfPlatform(operation) ? foreign.platformIds : foreign.ids
  const own_ = Object.entries(ids)
  if (isName(operation, name)) {
    // Roles of tenants are none of the platform's, neither by id nor by name.
    if (name === 'role' || name === 'included') return [own.ids['role'] ?? '', foreign.ids['role'] ?? '']
    return name === 'permission' ? ['members:READ', 'members'] : ['members:read']
  }
  const sameKind = new Set([
    ids[name],
    ...(isPerson(name) ? own_.filter(([key]) => isPerson(key)).map(([, id]) => id) : []),
  ])
  const uuid = /^[0-9a-f-]{36}$/
  const kinds = [...own_.map(([, id]) => id), ...Object.values(foreign.ids)]
  // The platform knows all tenants and users; a tenant, only its own.
  const known = isOfPlatform(operation)
    ? new Set(
        Object.entries(others)
          .filter(([key]) => kindOf(key) === kindOf(name))
          .map(([, id]) => id),
      )
    : new Set()
  return [...new Set(kinds)].filter(
    (id) =>
      uuid.test(id) &&
      !sameKind.has(id) &&
      !known.has(id) &&
      !(kindOf(name) === 'role' && [own.ids['role'], own.ids['included']].includes(id)),
  )
}

const isPerson = (name: string) => ['user', 'to', 'owner', 'actor'].includes(name)
const kindOf = (name: string) => (isPerson(name) ? 'user' : name === 'included' ? 'role' : name)
