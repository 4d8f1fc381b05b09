import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { get, grantsOf, opens, route, rulesOf, ruleSetOf } from './rules-fixture.js'

describe('hostile paths', () => {
  const hostile = [
    '',
    'reports/1',
    '//reports/1',
    '/reports//1',
    '/reports/1/',
    '/reports/',
    '/reports/.',
    '/reports/..',
    '/reports/../1',
    '/./reports/1',
    '/x/../reports/1',
    '/reports/%31',
    '/reports/1%2f2',
    '/reports/1%2F..',
    '/reports/%2e%2e',
    '/reports%2f1',
    '/reports/1\0',
    '/reports/\0',
    '/reports/1?x',
    '/reports/1#x',
    '/reports/1;\n',
    '/reports\\1',
    '/reports/a\\b',
    '/REPORTS/1',
    '/Reports/1',
    '/reports/1/2',
    '/reports',
    '/reports/é',
    '/reports/e\u0301',
    '/reports/\u202e1',
    '/reports/１',
    '/ｒeports/1',
    '/reports/ ',
    '/reports/a b',
    '/reports/\t',
    '/reports/*',
    '/*',
    '/reports/{id',
    '/reports/id}',
    '/reports/{}',
    '/reports/{a}{b}',
    '/reports/{a}-{b}',
    '/reports/{id}.json',
    '/reports/{id?}',
    '/reports/:id?',
    '/reports/:id(\\d+)',
    '/reports/{../x}',
    'http://host/reports/1',
    '/reports/\ud800',
    `/reports/${'a'.repeat(2100)}`,
    `/reports${'/a'.repeat(2000)}`,
  ]

  test.each(hostile)('The hostile path %j matches no rule, as a path and as a template', async (path) => {
    const rules = await rulesOf(
      ruleSetOf([route('*', '/reports/{id}', 'reports:read'), route('GET', '/reports/1', 'reports:read')]),
    )
    const access = rules.compile(grantsOf('reports:read'))
    expect(rules.can(access, 'GET', path)).toBe(false)
    expect(rules.guard(get(path)).allows(access)).toBe(false)
  })

  test('None of 20,000 random spellings of a path opens more than the path itself', async () => {
    const rules = await rulesOf(
      ruleSetOf([
        route('GET', '/reports/{id}', 'reports:read'),
        route('GET', '/reports/export', 'reports:export'),
        route('*', '/{section}/{id}/{part}', 'admin:all'),
      ]),
    )
    const reader = rules.compile(grantsOf('reports:read'))
    const tricks = [
      '%2f',
      '%2F',
      '%2e',
      '%00',
      '%',
      '\0',
      '.',
      '..',
      '/',
      '//',
      '\\',
      ';',
      '?',
      '#',
      ' ',
      '\t',
      '\n',
      '\u202e',
    ]
    const part = fc.oneof(
      fc.constantFrom('export', 'EXPORT', 'Reports', '%65xport', '１', 'e\u0301', '42', ...tricks),
      fc.string({ unit: 'binary', maxLength: 2 }),
    )
    const spelling = fc
      .tuple(fc.constantFrom('/reports/', '/reports', '/'), fc.array(part, { maxLength: 4 }))
      .map(([start, parts]) => start + parts.join(''))
    let allowed = 0
    fc.assert(
      fc.property(spelling, (path) => {
        if (!rules.can(reader, 'GET', path)) return
        allowed += 1
        // The wide rule matches two literal segments, except the path that has its own rule.
        expect(path).toMatch(/^\/reports\/[A-Za-z0-9\-._~!$&'()+,;=:@]+$/)
        expect(['/reports/export', '/reports/.', '/reports/..']).not.toContain(path)
      }),
      { numRuns: 20_000 },
    )
    expect(allowed).toBeGreaterThan(100)
  })

  test('A concrete path cannot pass for a template', async () => {
    const rules = await rulesOf(ruleSetOf([route('GET', '/reports/{id}', 'reports:read')]))
    expect(rules.can(rules.compile(grantsOf('reports:read')), 'GET', '/reports/{id}')).toBe(false)
  })

  test('A rule whose path is no template matches nothing', async () => {
    for (const path of ['/reports/*', '/reports//{id}', '/reports/%7Bid%7D', '/reports/..']) {
      expect(await opens([route('GET', path, 'reports:read')], get('/reports/{id}'), 'reports:read')).toBe(false)
    }
  })
})
