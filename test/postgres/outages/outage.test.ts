import pg from 'pg'
import { expect, test } from 'vitest'
import { TenancyError } from '../../../src/core/errors/errors.js'
import { asOutage, markOutage } from '../../../src/postgres/outages/outage.js'
import { toProblem } from '../../../src/http/problem.js'

const raised = (code: string) =>
  Object.assign(new pg.DatabaseError('said by 10.0.0.7', 0, 'error'), { severity: 'FATAL', code })

test.each(['57P01', '57P02', '57P03', '08006', '53300'])(
  'SQLSTATE %s is an outage: 503 with a time to retry',
  (code) => {
    const problem = toProblem(raised(code))
    expect(problem).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    expect(problem?.body).not.toContain('10.0.0.7')
  },
)

test.each(['57014', '42P01', '23505', '40001', '25P03'])(
  'SQLSTATE %s is an error of the application’s, not an outage',
  (code) => {
    expect(asOutage(raised(code))).toBeUndefined()
  },
)

test('the driver’s errors of a connection that ended are outages, an ECONNRESET of another connection is not', () => {
  expect(asOutage(new Error('Connection terminated unexpectedly'))).toMatchObject({
    code: 'TENANCY_DATABASE_UNAVAILABLE',
  })
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  expect(asOutage(reset)).toBeUndefined()
  markOutage(reset)
  expect(asOutage(reset)).toMatchObject({ statusCode: 503, cause: reset })
  for (const other of [new TenancyError('TENANCY_CLOSED'), { code: '57P01', severity: 'FATAL' }, 'x', undefined]) {
    expect(asOutage(other)).toBeUndefined()
  }
})
