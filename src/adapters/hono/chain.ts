import type { Context } from 'hono'
import type { RouterRoute } from 'hono/types'
import { findTargetHandler } from 'hono/utils/handler'
import type { ChainEntry } from '../../http/routes/handler-chain.js'
import type { RegisteredRoute, RouteSegment } from '../../http/routes/route-segment.js'

/** The part that a function of ours has in a chain. */
export const partKey: unique symbol = Symbol('tenants2fast.part')

type Part = ChainEntry['part']
const entries = new WeakMap<RouterRoute, ChainEntry>()

/** Gives the chain that Hono runs for a request. */
export function chainOf({ req }: Context): readonly ChainEntry[] {
  // The request's own way: `matchedRoutes` of `hono/route` knows only requests of its own copy of Hono.
  // oxlint-disable-next-line typescript/no-deprecated -- see above
  return req.matchedRoutes.map(entryOf)
}

/** The path that the entry which runs now is registered at. */
export function pathHere({ req }: Context): string {
  // oxlint-disable-next-line typescript/no-deprecated -- as in chainOf
  return req.routePath
}

/** Reads an entry of Hono's routes. */
export function entryOf(route: RouterRoute): ChainEntry {
  let entry = entries.get(route)
  if (entry === undefined) entries.set(route, (entry = readEntry(route)))
  return entry
}

function readEntry(route: RouterRoute): ChainEntry {
  // A sub-application with an error handler of its own wraps its handlers.
  const handler = findTargetHandler(route.handler) as unknown as { readonly length: number; readonly [partKey]?: Part }
  // `() => …` may be `(...all) => …`, which passes on; as middleware it gets the benefit of the doubt.
  const ends = handler.length === 1 || (handler.length === 0 && route.method !== 'ALL')
  return { method: route.method, url: route.path, part: handler[partKey] ?? { kind: 'handler', ends } }
}

/** Every method that a rule may name, for a route of all of them. */
const allMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** Reads a route of Hono. */
export function readRoute({ url, method }: ChainEntry): RegisteredRoute {
  return { url, segments: readSegments(url), methods: method === 'ALL' ? allMethods : [method] }
}

/** Reads the segments of a path of Hono. They are what slashes separate, even inside a regular expression. */
function readSegments(url: string): readonly RouteSegment[] {
  return url.split('/').map((source) => {
    const name = /^:(\w+)$/.exec(source)?.[1]
    if (name !== undefined) return { kind: 'parameter', source, name }
    if (!/[:*?{}]/.test(source)) return { kind: 'literal', source, text: source }
    const names = [...source.matchAll(/:(\w+)/g)].map(([, each = '']) => each)
    return { kind: 'pattern', source, names, rest: source.replaceAll(/:\w+/g, ':') }
  })
}
