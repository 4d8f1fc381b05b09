import pg from 'pg'
import { expect, test } from 'vitest'
import { TenancyError } from '../../src/core/errors/errors.js'
import { asOutage, markOutage } from '../../src/postgres/outage.js'
import { toProblem } from '../../src/http/problem.js'

const raised = (code: string) =>
  Object.assign(new pg.DatabaseError('said by 10.0.0.7', 0, 'error'), { severity: 'FATAL', code })

test.each(['57P01', '57P02', '57P03', '08006', '53300'])('%s is an outage: 503, and when to come back', (code) => {
  const problem = toProblem(raised(code))
  expect(problem).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  expect(problem?.body).not.toContain('10.0.0.7')
})

test.each(['57014', '42P01', '23505', '40001', '25P03'])('%s is the application’s own affair', (code) => {
  expect(asOutage(raised(code))).toBeUndefined()
})

test('what the driver says of a connection that ended is an outage, an ECONNRESET of somebody else is not', () => {
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
