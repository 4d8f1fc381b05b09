import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixtures, prepare } from './fixtures.js'
import { createWorld, isOfPlatform, nameOf, operations, type Scene, type World } from './world.js'

// The other generated tests change one thing of a right request. Here the requests themselves are held to be right.

let world: World
let scene: Scene
beforeAll(async () => {
  world = await createWorld()
  scene = await world.createScene()
})
afterAll(() => world.close())

test('Every operation with a body has a right one here, and no other has', () => {
  const has = Object.keys(fixtures).filter((id) => fixtures[id]?.body !== undefined)
  const takes = operations.filter(({ body }) => body !== undefined).map(({ id }) => id)
  expect(has.toSorted(), 'add the body of a new operation to fixtures.ts').toEqual(takes.toSorted())
  expect(Object.keys(fixtures).filter((id) => !operations.some((operation) => operation.id === id))).toEqual([])
})

test('Every parameter of a path has something in the scene', () => {
  for (const operation of operations) {
    const ids = isOfPlatform(operation) ? scene.platformIds : scene.ids
    for (const [, name = ''] of operation.path.matchAll(/\{(\w+)\}/g)) {
      expect(ids[name], `${operation.id}: add the parameter ${name} to the scene in world.ts`).toBeTypeOf('string')
    }
  }
})

describe.each(operations.map((operation) => [nameOf(operation), operation] as const))('%s', (_, operation) => {
  test('A right request is answered as the document says', async () => {
    const { send } = await prepare(world, operation)
    const { status, json } = await send()
    expect({ status, json: status === operation.answer.status ? undefined : json }).toEqual({
      ...{ status: operation.answer.status, json: undefined },
    })
  })
})
