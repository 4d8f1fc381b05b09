import { expect, test } from 'vitest'
import { readRequirement } from '../../../src/http/routes/requirement.js'
import { bindRouteGuard } from '../../../src/http/routes/route-guard.js'
import type { RegisteredRoute } from '../../../src/http/routes/route-segment.js'
import { route, rulesOf, ruleSetOf } from '../../access/rules-fixture.js'

const path = [
  { kind: 'literal', source: '', text: '' },
  { kind: 'literal', source: 'reports', text: 'reports' },
  { kind: 'parameter', source: '{id}', name: 'id' },
] as const
const reports = (...methods: string[]): RegisteredRoute => ({ url: '/reports/{id}', segments: path, methods })
const rules = await rulesOf(ruleSetOf([route('GET', '/reports/{id}', 'reports:read')]))
const holder = { user: {}, access: rules.compile({ roles: [], permissionIds: [1], changesAtMs: null }) }
const other = { user: {}, access: rules.compile({ roles: [], permissionIds: [], changesAtMs: null }) }
const refuse = (message: string) => {
  throw new Error(message)
}
const coded = (code: string) => expect.objectContaining({ code })

test('A route of GET and HEAD is guarded by the rule of GET, in any framework’s syntax', () => {
  const guard = bindRouteGuard(readRequirement(), reports('GET', 'HEAD'), rules, refuse)
  for (const method of ['GET', 'HEAD']) {
    expect(() => guard(holder, { method })).not.toThrow()
    expect(() => guard(other, { method })).toThrow(coded('TENANCY_ACCESS_DENIED'))
  }
})

test('A method without a rule is refused on a route whose other method has one', () => {
  const guard = bindRouteGuard(readRequirement(), reports('GET', 'POST'), rules, refuse)
  expect(() => guard(holder, { method: 'GET' })).not.toThrow()
  for (const method of ['POST', 'PUT']) {
    expect(() => guard(holder, { method })).toThrow(coded('TENANCY_ACCESS_DENIED'))
  }
})

test('A guard tells apart callers who are unknown, in no tenant, or without the permission', () => {
  const guard = bindRouteGuard(readRequirement('reports:read'), reports('GET'), rules, refuse)
  const method = 'GET'
  expect(() => guard({ access: undefined }, { method })).toThrow(coded('TENANCY_AUTH_REQUIRED'))
  expect(() => guard({ user: {}, access: undefined }, { method })).toThrow(coded('TENANCY_TENANT_NONE'))
  expect(() => guard(other, { method })).toThrow(coded('TENANCY_ACCESS_DENIED'))
})

test('A requirement that nothing answers to is reported once, when it is bound', () => {
  const reported: string[] = []
  bindRouteGuard(readRequirement(), reports('POST', 'PUT'), rules, (message) => reported.push(message))
  bindRouteGuard(readRequirement('reports:burn'), reports('GET'), rules, (message) => reported.push(message))
  expect(reported).toEqual([
    'Nothing in the access rules answers to POST /reports/{id}: the guard refuses everybody',
    'Nothing in the access rules answers to permission reports:burn: the guard refuses everybody',
  ])
})

test('The rule of a route’s own URL cannot be found if the URL has a pattern', () => {
  const segments = [...path, { kind: 'pattern', source: '*', names: [], rest: '*' }] as const
  expect(() =>
    bindRouteGuard(readRequirement(), { url: '/reports/*', segments, methods: ['GET'] }, rules, refuse),
  ).toThrow(coded('TENANCY_ACCESS_DEFINITION_INVALID'))
})
