import type { RouteOptions } from 'fastify'
import type { RegisteredRoute, RouteSegment } from '../../http/routes/route-segment.js'

/** Reads a Fastify route. */
export function readRoute({ url, method }: Pick<RouteOptions, 'url' | 'method'>): RegisteredRoute {
  return { url, segments: readSegments(url), methods: [method].flat() }
}

/** Reads the segments of a Fastify URL (find-my-way). They are what slashes separate, even inside a regular expression. */
export function readSegments(url: string): readonly RouteSegment[] {
  return url.split('/').map((source) => {
    // `::` is Fastify's way to write a colon.
    const marked = source.replaceAll('::', '\u0000')
    if (!/[:*]/.test(marked)) return { kind: 'literal', source, text: marked.replaceAll('\u0000', ':') }
    const name = /^:(\w+)$/.exec(marked)?.[1]
    if (name !== undefined) return { kind: 'parameter', source, name }
    const names = [...marked.matchAll(/:(\w+)/g)].map(([, each = '']) => each)
    return { kind: 'pattern', source, names, rest: marked.replaceAll(/:\w+/g, ':') }
  })
}
