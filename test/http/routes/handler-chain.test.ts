import { expect, test } from 'vitest'
import { type ChainEntry, readChain, strictestOf } from '../../../src/http/routes/handler-chain.js'

const entry = (method: string, url: string, part: ChainEntry['part']): ChainEntry => ({ method, url, part })
const own = entry('ALL', '/*', { kind: 'own' })
const needs = (method: string, url: string, what: 'tenant' | 'user' | 'none') =>
  entry(method, url, { kind: 'needs', needs: what })
const ends = (method: string, url: string) => entry(method, url, { kind: 'handler', ends: true })
const passes = (method: string, url: string) => entry(method, url, { kind: 'handler', ends: false })
/** The routes behind the first entry that may answer, each with what it needs. */
const routesOf = (...chain: ChainEntry[]) =>
  readChain([own, ...chain], 0).routes.map((route) => [`${route.entry.method} ${route.entry.url}`, route.needs])

test('Entries behind one that cannot pass a request on do not count', () => {
  expect(routesOf(ends('GET', '/:id'), needs('GET', '/x', 'none'), ends('GET', '/x'))).toEqual([
    ['GET /:id', undefined],
  ])
})

test('Every route before that may answer, also one that may pass the request on', () => {
  expect(routesOf(passes('GET', '/:id'), needs('GET', '/x', 'none'), ends('GET', '/x'), ends('GET', '/*'))).toEqual([
    ['GET /:id', undefined],
    ['GET /x', 'none'],
  ])
})

test('Middleware for every method is no route, and may answer all the same', () => {
  const { routes, mayAnswer } = readChain([own, passes('ALL', '/files/*')], 0)
  expect([routes, mayAnswer]).toEqual([[], true])
  expect(readChain([passes('ALL', '/*'), own], 1).mayAnswer).toBe(false)
})

test('What a route says of itself counts before what is said around it; there the strictest counts', () => {
  const around = [needs('ALL', '/a/*', 'none'), needs('ALL', '/a/b/*', 'user'), needs('ALL', '/*', 'none')]
  expect(routesOf(...around, ends('GET', '/a/b/x'))).toEqual([['GET /a/b/x', 'user']])
  expect(routesOf(...around, needs('GET', '/a/b/x', 'none'), ends('GET', '/a/b/x'))).toEqual([['GET /a/b/x', 'none']])
})

test('What is said behind an entry, or by a route of another method or address, does not count for it', () => {
  expect(routesOf(passes('GET', '/x'), needs('GET', '/x', 'none'), needs('ALL', '/*', 'none'))).toEqual([
    ['GET /x', undefined],
  ])
  expect(routesOf(needs('GET', '/:id', 'none'), ends('GET', '/x'))).toEqual([['GET /x', undefined]])
})

test('The strictest of needs is a tenant, then a user, then nothing', () => {
  expect([strictestOf(['none', 'tenant', 'user']), strictestOf(['none', 'user']), strictestOf([])]).toEqual([
    ...['tenant', 'user', undefined],
  ])
})
