import { expect, test } from 'vitest'
import { errorTable, isTenancyError, TenancyError } from '../../../src/core/errors/errors.js'

test('every code has the form TENANCY_<AREA>_<REASON> or TENANCY_CLOSED, an HTTP error status, a title and a way out', () => {
  for (const [code, entry] of Object.entries(errorTable)) {
    expect(code).toMatch(/^TENANCY_[A-Z]+(_[A-Z]+)*$/)
    expect(entry.status).toBeGreaterThanOrEqual(400)
    expect(entry.title).not.toBe('')
    expect(entry.fix).toMatch(/[.]$/)
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
