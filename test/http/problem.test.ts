import { expect, test } from 'vitest'
import { errorTable, TenancyError, type TenancyErrorCode } from '../../src/core/errors.js'
import { readBearerToken } from '../../src/http/bearer.js'
import { toProblem } from '../../src/http/problem.js'

test('every code gives a problem document with its status, title and code', () => {
  for (const [code, { status, title }] of Object.entries(errorTable)) {
    const problem = toProblem(new TenancyError(code as TenancyErrorCode))!
    expect(problem.status).toBe(status)
    expect(problem.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(JSON.parse(problem.body)).toEqual({ type: `urn:tenants2fast:error:${code}`, title, status, code })
  }
})

test('the message of a server error and its cause stay inside', () => {
  const cause = new Error('password authentication failed for postgres://u:p@h')
  for (const code of ['TENANCY_CATALOG_UNAVAILABLE', 'TENANCY_CONFIG_INVALID'] as const) {
    const { body } = toProblem(new TenancyError(code, 'at 10.0.0.7', { cause, details: { host: '10.0.0.7' } }))!
    expect(body).not.toMatch(/10\.0\.0\.7|postgres:/)
  }
})

test('a client error says what was wrong, unless a difference would tell an outsider what exists', () => {
  expect(JSON.parse(toProblem(new TenancyError('TENANCY_TENANT_SLUG_TAKEN', 'acme is taken'))!.body).detail).toBe(
    'acme is taken',
  )
  expect(toProblem(new TenancyError('TENANCY_TENANT_FORBIDDEN', 'acme exists', { details: { slug: 'acme' } }))).toEqual(
    toProblem(new TenancyError('TENANCY_TENANT_FORBIDDEN')),
  )
})

test('details are added and overwrite nothing', () => {
  const error = new TenancyError('TENANCY_REQUEST_INVALID', undefined, {
    details: { fields: ['a'], status: 200, code: 'x' },
  })
  expect(JSON.parse(toProblem(error)!.body)).toMatchObject({
    fields: ['a'],
    status: 400,
    code: 'TENANCY_REQUEST_INVALID',
  })
})

test('an outage says when to come back, a missing or bad token what is asked for', () => {
  expect(toProblem(new TenancyError('TENANCY_CATALOG_UNAVAILABLE'))!.headers['retry-after']).toBe('1')
  expect(
    toProblem(new TenancyError('TENANCY_REQUEST_TOO_MANY', undefined, { retryAfterSeconds: 1.2 }))!.headers[
      'retry-after'
    ],
  ).toBe('2')
  expect(toProblem(new TenancyError('TENANCY_AUTH_REQUIRED'))!.headers['www-authenticate']).toBe('Bearer')
  expect(toProblem(new TenancyError('TENANCY_AUTH_TOKEN_INVALID'))!.headers['www-authenticate']).toBe(
    'Bearer error="invalid_token"',
  )
})

test('errors that are not ours are left alone', () => {
  for (const error of [new Error('x'), undefined, null, 'text', { code: 'TENANCY_TENANT_NONE', statusCode: 200 }]) {
    expect(toProblem(error)).toBeUndefined()
  }
})

test.each(['Bearer abc.def-_~+/==', 'bearer abc', 'BEARER   abc'])('%s carries a token', (header) => {
  expect(readBearerToken(header)).toMatch(/^abc/)
})

test.each([undefined, '', 'Basic abc', 'Bearerabc', 'Digest x'])('%s carries no bearer credentials', (header) => {
  expect(() => readBearerToken(header)).toThrow(expect.objectContaining({ code: 'TENANCY_AUTH_REQUIRED' }))
})

test.each([
  ['Bearer', ''],
  ['Bearer ', ''],
  ['Bearer  ', ''],
  ['Bearer a b', 'a b'],
  ['bearer a, Bearer b', 'a, Bearer b'],
  ['Bearer a=b', 'a=b'],
  ['Bearer \u00e4', '\u00e4'],
  ['BEARER a\tb', 'a\tb'],
  ['Bearer \ta', '\ta'],
])('what follows the scheme in %j goes to the verifier as it is, which knows a token', (header, credentials) => {
  expect(readBearerToken(header)).toBe(credentials)
})
