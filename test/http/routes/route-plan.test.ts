import { expect, test } from 'vitest'
import { readPathTenant } from '../../../src/http/routes/path-tenant.js'
import { planRoute } from '../../../src/http/routes/route-plan.js'
import type { RouteSegment } from '../../../src/http/routes/route-segment.js'

const literal = (text: string): RouteSegment => ({ kind: 'literal', source: text, text })
const parameter = (name: string): RouteSegment => ({ kind: 'parameter', source: `{${name}}`, name })
const pattern = (source: string, names: readonly string[], rest: string): RouteSegment => ({
  kind: 'pattern',
  source,
  names,
  rest,
})
const options = {
  urlPrefix: 'Tenants',
  tenantParameter: 'tenant',
  wording: { setting: 'the route’s metadata', withoutTenant: '@Public()' },
}
const plan = (segments: readonly RouteSegment[], needs: unknown = 'tenant') =>
  planRoute({ url: segments.map(({ source }) => source).join('/'), segments }, needs, options)

test('A route whose URL names the tenant is planned with its parameter, in any framework’s syntax', () => {
  const segments = [literal(''), literal('api'), literal('TENANTS'), parameter('tenant'), literal('notes')]
  expect(plan(segments)).toEqual({ needs: 'tenant', tenantParameter: 'tenant' })
  expect(plan(segments, 'user')).toEqual({ needs: 'user', tenantParameter: undefined })
})

test.each<readonly [string, readonly RouteSegment[]]>([
  ['another parameter behind the prefix', [literal('tenants'), parameter('id')]],
  ['the parameter behind another segment', [literal('shops'), parameter('tenant')]],
  ['the parameter inside a pattern', [literal('tenants'), pattern('{tenant}.json', ['tenant'], '.json')]],
  ['a pattern that may match the prefix', [pattern('tenants?', [], 'tenants?'), parameter('id')]],
  ['a literal that may be a slug', [literal('tenants'), literal(''), literal('acme')]],
  ['two tenants', [literal('tenants'), parameter('tenant'), literal('tenants'), parameter('tenant')]],
])('A route with %s is refused unless it needs no tenant', (_name, segments) => {
  expect(() => plan(segments)).toThrow(
    expect.objectContaining({
      code: 'TENANCY_ROUTE_TENANT_UNREADABLE',
      message: expect.stringMatching(/say so: @Public\(\)$/) as string,
    }),
  )
  expect(plan(segments, 'none')).toEqual({ needs: 'none', tenantParameter: undefined })
})

test('A route that needs something else is refused in the framework’s own words', () => {
  expect(() => plan([literal('notes')], 'admin')).toThrow(
    expect.objectContaining({
      code: 'TENANCY_CONFIG_INVALID',
      message: `Route notes: the route’s metadata is 'tenant', 'user' or 'none', not "admin"`,
    }),
  )
})

test('A missing path parameter names no tenant, rather than the default one', () => {
  expect(readPathTenant({ tenant: 'acme' }, 'tenant')).toBe('acme')
  expect(() => readPathTenant({}, 'tenant')).toThrow(expect.objectContaining({ code: 'TENANCY_TENANT_FORBIDDEN' }))
})
