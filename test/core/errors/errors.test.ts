import { expect, expectTypeOf, test } from 'vitest'
import {
  errorTable,
  type FieldError,
  findTenancyError,
  isTenancyError,
  TenancyError,
  type TenancyErrorCode,
  type TenancyErrorDetails,
} from '../../../src/core/errors/errors.js'

test('every code has the form TENANCY_<AREA>_<REASON> or TENANCY_CLOSED, an HTTP error status, a title and a way out', () => {
  for (const [code, entry] of Object.entries(errorTable)) {
    expect(code).toMatch(/^TENANCY_[A-Z]+(_[A-Z]+)*$/)
    expect(entry.status).toBeGreaterThanOrEqual(400)
    expect(entry.title).not.toBe('')
    expect(entry.fix).toMatch(/[.]$/)
  }
})

test('every 401 sends a challenge, every 503 says when to come back, every 405 says which methods there are, and every 416 how long the file is', () => {
  const required = new Map<number, string>([
    [401, 'www-authenticate'],
    [405, 'allow'],
    [416, 'content-range'],
    [429, 'retry-after'],
    [503, 'retry-after'],
  ])
  for (const [code, entry] of Object.entries(errorTable)) {
    const header = required.get(entry.status)
    const sent = Object.keys('headers' in entry ? entry.headers : {})
    expect([code, sent]).toEqual([code, header === undefined ? [] : [header]])
  }
})

test('an error carries its status, and a 503 when to come back', () => {
  expect(new TenancyError('TENANCY_ACCESS_DENIED')).toMatchObject({ statusCode: 403, retryAfterSeconds: undefined })
  expect(new TenancyError('TENANCY_CATALOG_UNAVAILABLE')).toMatchObject({ statusCode: 503, retryAfterSeconds: 1 })
})

test('an error of another copy of the package is recognised, a look-alike is not', () => {
  const foreign = Object.assign(new Error('x'), {
    code: 'TENANCY_CLOSED',
    [Symbol.for('tenants2fast.TenancyError')]: true,
  })
  expect(isTenancyError(foreign, 'TENANCY_CLOSED')).toBe(true)
  expect(isTenancyError(foreign, 'TENANCY_ACCESS_DENIED')).toBe(false)
  expect(isTenancyError(Object.assign(new Error('x'), { code: 'TENANCY_CLOSED' }))).toBe(false)
  expect(isTenancyError(undefined)).toBe(false)
})

test('the details of an error have the type that the table gives its code', () => {
  const problems = ['slug: is too short']
  const error: unknown = new TenancyError('TENANCY_TENANT_INPUT_INVALID', undefined, { details: { problems } })
  const found = findTenancyError(error, 'TENANCY_TENANT_INPUT_INVALID')
  expect(found?.details?.problems).toBe(problems)
  expectTypeOf(found).toEqualTypeOf<TenancyError<'TENANCY_TENANT_INPUT_INVALID'> | undefined>()
  expectTypeOf<TenancyErrorDetails<'TENANCY_TENANT_INPUT_INVALID'>>().toEqualTypeOf<
    { readonly problems: readonly string[] } | undefined
  >()
  expectTypeOf<TenancyError<'TENANCY_REQUEST_INVALID'>['details']>().toEqualTypeOf<
    { readonly problems?: readonly string[]; readonly errors?: readonly FieldError[] } | undefined
  >()
  expectTypeOf<TenancyError<'TENANCY_ACCESS_GRANT_REFUSED'>['details']>().toEqualTypeOf<
    { readonly permissions: readonly string[]; readonly roles: readonly string[] } | undefined
  >()
  expectTypeOf<TenancyError<'TENANCY_ACCESS_DENIED'>['details']>().toEqualTypeOf<undefined>()
  expectTypeOf(findTenancyError(error)).toEqualTypeOf<TenancyError | undefined>()
  expectTypeOf<TenancyError<'TENANCY_CLOSED'>>().toExtend<TenancyError>()
})

test('an error with details that are not those of its code does not compile', () => {
  const wrong = [
    // @ts-expect-error -- a code without details
    () => new TenancyError('TENANCY_ACCESS_DENIED', 'x', { details: { problems: [] } }),
    // @ts-expect-error -- a field of another code
    () => new TenancyError('TENANCY_TENANT_INPUT_INVALID', 'x', { details: { roles: [] } }),
    // @ts-expect-error -- a field of another type
    () => new TenancyError('TENANCY_REQUEST_INVALID', 'x', { details: { problems: 'x' } }),
    // @ts-expect-error -- one field of two
    () => new TenancyError('TENANCY_ACCESS_GRANT_REFUSED', 'x', { details: { roles: [] } }),
    // @ts-expect-error -- no such code
    () => new TenancyError('TENANCY_NO_SUCH_CODE'),
  ]
  expect(wrong).toHaveLength(5)
  expectTypeOf<'TENANCY_NO_SUCH_CODE'>().not.toExtend<TenancyErrorCode>()
})
