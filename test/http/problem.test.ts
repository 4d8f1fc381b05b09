import { expect, test } from 'vitest'
import { errorTable, TenancyError, type TenancyErrorCode } from '../../src/core/errors/errors.js'
import { readBearerToken } from '../../src/http/bearer.js'
import { problemOf } from '../../src/http/foreign-problem.js'
import { safeRequestId, toProblem } from '../../src/http/problem.js'

test('Every error code gives a problem document with its status, title and code', () => {
  for (const [code, { status, title }] of Object.entries(errorTable)) {
    const problem = toProblem(new TenancyError(code as TenancyErrorCode))!
    expect(problem.status).toBe(status)
    expect(problem.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(JSON.parse(problem.body)).toEqual({ type: `urn:tenants2fast:error:${code}`, title, status, code })
  }
})

test('The message and cause of a server error are not in the answer', () => {
  const cause = new Error('password authentication failed for postgres://u:p@h')
  for (const code of ['TENANCY_CATALOG_UNAVAILABLE', 'TENANCY_CONFIG_INVALID'] as const) {
    const { body } = toProblem(
      new TenancyError(code, 'at 10.0.0.7', { cause, details: { host: '10.0.0.7' } as never }),
    )!
    expect(body).not.toMatch(/10\.0\.0\.7|postgres:/)
  }
})

test('A client error says what was wrong, unless that would tell an outsider what exists', () => {
  expect(JSON.parse(toProblem(new TenancyError('TENANCY_TENANT_SLUG_TAKEN', 'acme is taken'))!.body).detail).toBe(
    'acme is taken',
  )
  expect(
    toProblem(new TenancyError('TENANCY_TENANT_FORBIDDEN', 'acme exists', { details: { slug: 'acme' } as never })),
  ).toEqual(toProblem(new TenancyError('TENANCY_TENANT_FORBIDDEN')))
})

test('Details of an error are added to the document and overwrite nothing', () => {
  const error = new TenancyError('TENANCY_REQUEST_INVALID', undefined, {
    details: { fields: ['a'], status: 200, code: 'x' } as never,
  })
  expect(JSON.parse(toProblem(error)!.body)).toMatchObject({
    fields: ['a'],
    status: 400,
    code: 'TENANCY_REQUEST_INVALID',
  })
})

test('An outage is answered with Retry-After, and a missing or bad token with a challenge', () => {
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

test('toProblem leaves errors of others alone', () => {
  for (const error of [new Error('x'), undefined, null, 'text', { code: 'TENANCY_TENANT_NONE', statusCode: 200 }]) {
    expect(toProblem(error)).toBeUndefined()
  }
})

test.each(['Bearer abc.def-_~+/==', 'bearer abc', 'BEARER   abc'])('The header %s carries a token', (header) => {
  expect(readBearerToken(header)).toMatch(/^abc/)
})

test.each([undefined, '', 'Basic abc', 'Bearerabc', 'Digest x'])(
  'The header %s carries no bearer credentials',
  (header) => {
    expect(() => readBearerToken(header)).toThrow(expect.objectContaining({ code: 'TENANCY_AUTH_REQUIRED' }))
  },
)

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
])('The text after the scheme in %j goes to the verifier unchanged', (header, credentials) => {
  expect(readBearerToken(header)).toBe(credentials)
})

const circle: { self?: unknown } = {}
circle.self = circle
const refuse = () => {
  throw new Error('no')
}
const withoutJson: Record<string, Record<string, unknown>> = {
  'a bigint': { value: 1n },
  'a circle': circle,
  'a toJSON that throws': { value: { toJSON: refuse } },
  'a getter that throws': Object.defineProperty({}, 'value', { get: refuse, enumerable: true }) as Record<
    string,
    unknown
  >,
  'a proxy that throws': new Proxy({}, { ownKeys: refuse }),
}

test.each(Object.entries(withoutJson))('Details that cannot be written as JSON, %s, are left out', (_name, details) => {
  const problem = toProblem(new TenancyError('TENANCY_REQUEST_INVALID', 'why', { details }), { requestId: 'r' })!
  const { status, title } = errorTable.TENANCY_REQUEST_INVALID
  expect(JSON.parse(problem.body)).toEqual({
    type: 'urn:tenants2fast:error:TENANCY_REQUEST_INVALID',
    title,
    status,
    code: 'TENANCY_REQUEST_INVALID',
    requestId: 'r',
  })
})

test.each(Object.entries(withoutJson))(
  'A validator’s finding that cannot be written as JSON, %s, is left out',
  (_name, found) => {
    const error = Object.assign(new Error('bad'), {
      statusCode: 400,
      validation: [{ message: 'm', instancePath: found }],
      validationContext: found,
    })
    expect(JSON.parse(problemOf(error, { requestId: 'r' }).body)).toMatchObject({ status: 400, requestId: 'r' })
  },
)

test('A toJSON among the details does not replace the document', () => {
  for (const toJSON of [() => 'mine', () => undefined, refuse]) {
    const { body } = toProblem(
      new TenancyError('TENANCY_REQUEST_INVALID', 'why', { details: { toJSON, field: 'a' } as never }),
    )!
    expect(JSON.parse(body)).toMatchObject({ code: 'TENANCY_REQUEST_INVALID', detail: 'why', field: 'a' })
  }
})

test('An error that imitates ours but cannot be read, or has no error status, is answered 500', () => {
  const hostile = new Proxy(new TenancyError('TENANCY_TENANT_NONE'), {
    get: (target, key) => (key === 'code' ? refuse() : Reflect.get(target, key)),
  })
  const fine = Object.defineProperty(new TenancyError('TENANCY_TENANT_NONE'), 'statusCode', { value: 200 })
  for (const error of [hostile, fine]) expect(toProblem(error)).toBeUndefined()
  expect(problemOf(fine).status).toBe(500)
})

test('The Allow header holds methods only, whatever an error was made with', () => {
  const allow = (allowedMethods: unknown) =>
    problemOf(
      new TenancyError('TENANCY_REQUEST_METHOD_UNSUPPORTED', 'm', { allowedMethods: allowedMethods as string[] }),
    )
  expect(allow(['GET', 'M-SEARCH']).headers['allow']).toBe('GET, M-SEARCH')
  expect(allow(['GET\r\nSet-Cookie: x', 'PUT']).headers['allow']).toBe('PUT')
  for (const value of ['GET', null, 7]) {
    expect(allow(value)).toMatchObject({ status: 405 })
    expect(allow(value).headers['allow']).toBeUndefined()
  }
})

test('A request id that has no text is shown as "_"', () => {
  for (const id of [Object.create(null), { toString: refuse }]) expect(safeRequestId(id)).toBe('_')
})

test('An error’s headers for the next request are sent if they can be written', () => {
  const headers = {
    'Retry-After': '9',
    'WWW-Authenticate': 'Basic',
    allow: 'GET',
    'Set-Cookie': 'session=stolen',
    Location: 'https://evil.example',
    'Access-Control-Allow-Origin': '*',
    'X-Sql': 'select',
    'Content-Type': 'text/html',
  }
  const sent = (statusCode: number, given: unknown) =>
    problemOf(Object.assign(new Error('x'), { statusCode, headers: given })).headers
  const always = { 'content-type': 'application/problem+json; charset=utf-8', 'cache-control': 'no-store' }
  expect(sent(405, headers)).toEqual({ ...always, 'retry-after': '9', 'www-authenticate': 'Basic', allow: 'GET' })
  expect(sent(503, headers)).toEqual({ ...always, 'retry-after': '9' })
  for (const value of ['a\r\nSet-Cookie: x', '\u0000', 'snow ☃', 9, ['9'], null]) {
    expect(sent(429, { 'retry-after': value })).toEqual(always)
  }
  for (const given of [new Proxy({}, { ownKeys: refuse }), 'text', null, 7]) expect(sent(429, given)).toEqual(always)
})
