import { EventEmitter, on, once } from 'node:events'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import { bindContext } from '../../../src/core/context/bind-context.js'
import { tryGetCurrentTenant } from '../../../src/core/context/current.js'
import { runWithContext, tryGetContext } from '../../../src/core/context/request-scope.js'
import type { RequestContext } from '../../../src/core/context/request-scope.js'
import { anonymousContext } from '../../../src/http/pipeline.js'

const contextOf = (slug: string) => ({ ...anonymousContext, tenant: { slug } }) as unknown as RequestContext
const inTenant = <Result>(slug: string, callback: () => Result) => runWithContext(contextOf(slug), callback)
const current = () => tryGetCurrentTenant()?.slug

test('a bound function runs in the context that it was bound in, with its own this and arguments', () => {
  const counter = {
    total: 0,
    add: inTenant('acme', () =>
      bindContext(function (this: { total: number }, amount: number) {
        this.total += amount
        return current()
      }),
    ),
  }
  expect([counter.add(2), inTenant('globex', () => counter.add(3)), counter.total]).toEqual(['acme', 'acme', 5])
  expect(tryGetContext()).toBeUndefined()
})

test('a bound function that throws leaves no context behind', () => {
  const fails = inTenant('acme', () =>
    bindContext(() => {
      throw new Error('x')
    }),
  )
  expect(fails).toThrow('x')
  expect(tryGetContext()).toBeUndefined()
})

test('bindContext refuses a function outside of a request', () => {
  expect(() => bindContext(() => {})).toThrow(expect.objectContaining({ code: 'TENANCY_CONTEXT_MISSING' }))
})

test('each listener of an emitter that requests share runs in the context that it was added in', () => {
  const emitter = bindContext(new EventEmitter())
  const seen: unknown[] = []
  const listen = (name: string) => seen.push([name, current()])
  inTenant('acme', () => emitter.on('x', () => listen('acme')))
  inTenant('globex', () =>
    emitter.once('x', () => listen('globex')).prependListener('x', () => listen('first of globex')),
  )
  emitter.addListener('x', () => listen('nobody'))
  inTenant('initech', () => emitter.emit('x'))
  emitter.emit('x')
  expect(seen).toEqual([
    ['first of globex', 'globex'],
    ['acme', 'acme'],
    ['globex', 'globex'],
    ['nobody', 'initech'],
    ['first of globex', 'globex'],
    ['acme', 'acme'],
    ['nobody', undefined],
  ])
})

test('listeners of a bound emitter are removed by the function that was added, and counted once', () => {
  const emitter = bindContext(bindContext(new EventEmitter()))
  const listener = () => {}
  for (const add of ['on', 'once', 'addListener', 'prependListener', 'prependOnceListener'] as const) {
    inTenant('acme', () => emitter[add]('x', listener))
    expect([add, emitter.listenerCount('x'), emitter.listeners('x')]).toEqual([add, 1, [listener]])
    emitter.off('x', listener)
    expect([add, emitter.listenerCount('x')]).toEqual([add, 0])
  }
  inTenant('acme', () => emitter.once('x', listener))
  emitter.emit('x')
  expect(emitter.listenerCount('x')).toBe(0)
})

test('events.once, events.on, streams and pipelines work on a bound emitter', async () => {
  const emitter = bindContext(new EventEmitter())
  const first = inTenant('acme', async () => [await once(emitter, 'x'), current()])
  emitter.emit('x', 1)
  expect(await first).toEqual([[1], 'acme'])
  const iterator = inTenant('acme', () => on(emitter, 'x'))
  emitter.emit('x', 2)
  expect((await iterator.next()).value).toEqual([2])
  await iterator.return?.()
  const chunks: unknown[] = []
  const stream = bindContext(new PassThrough())
  inTenant('acme', () => stream.on('data', (chunk) => chunks.push(String(chunk), current())))
  await pipeline(['a', 'b'], stream)
  expect(chunks).toEqual(['a', 'acme', 'b', 'acme'])
})
