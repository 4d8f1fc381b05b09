import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isTenancyError } from '../../../src/core/errors/errors.js'
import type { SqlClient } from '../../../src/core/sql-client.js'
import { budgetProblem, checkConnectionBudget } from '../../../src/databases/server/connection-budget.js'
import { withAdmin } from '../../support/server.js'

const needs = { tenants: 50, catalog: 10, listen: 1, builder: 7, processes: 1 }

function available(admin: SqlClient): Promise<number> {
  return admin
    .query<{ count: number }>(
      `select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0) as count`,
    )
    .then(({ rows }) => rows[0]?.count ?? 0)
}

test('A connection budget that uses every connection of the server passes, and one more connection is refused', async () => {
  await withAdmin(async (admin) => {
    const tenants = (await available(admin)) - 18
    await checkConnectionBudget(admin, { ...needs, tenants })
    await expect(checkConnectionBudget(admin, { ...needs, tenants: tenants + 1 })).rejects.toMatchObject({
      code: 'TENANCY_CONNECTION_BUDGET_TOO_LARGE',
      statusCode: 500,
    })
  })
})

test('The refusal of a connection budget gives every number and what would fit', async () => {
  await withAdmin(async (admin) => {
    const max = Number((await admin.query('show max_connections')).rows[0].max_connections)
    const kept = max - (await available(admin))
    const fitting = Math.floor((await available(admin)) / 2) - 18
    const error = await checkConnectionBudget(admin, { ...needs, tenants: 5000, processes: 2 }).catch((e: Error) => e)
    expect(isTenancyError(error, 'TENANCY_CONNECTION_BUDGET_TOO_LARGE')).toBe(true)
    const { message } = error as Error
    expect(message).toContain('2 processes may open 10036 connections, 5018 each (5000 to tenants, 10 to the catalog')
    expect(message).toContain('1 to listen, 7 to build')
    expect(message).toMatch(
      new RegExp(`max_connections ${max} - superuser_reserved_connections \\d+ - reserved_connections \\d+\\)`),
    )
    expect(message).toContain(`set TENANT_MAX_CONNECTIONS to ${fitting} or less`)
    expect(message).toContain(`raise max_connections to ${10_036 + kept}`)
  })
})

test('With what the refusal of a connection budget advises, the same processes fit', () => {
  const numbers = fc.record({
    max: fc.integer({ min: 20, max: 500 }),
    superuser: fc.integer({ min: 0, max: 10 }),
    reserved: fc.integer({ min: 0, max: 10 }),
    tenants: fc.integer({ min: 0, max: 2000 }),
    processes: fc.integer({ min: 1, max: 20 }),
  })
  let refused = 0
  fc.assert(
    fc.property(numbers, ({ tenants, processes, ...limits }) => {
      const wanted = { ...needs, tenants, processes }
      const problem = budgetProblem(wanted, limits)
      const fits = (tenants + 18) * processes <= limits.max - limits.superuser - limits.reserved
      expect(problem === undefined).toBe(fits)
      if (problem === undefined) return
      refused += 1
      const raised = /raise max_connections to (\d+)/.exec(problem)
      expect(budgetProblem(wanted, { ...limits, max: Number(raised?.[1]) })).toBeUndefined()
      const lowered = /set TENANT_MAX_CONNECTIONS to (\d+)/.exec(problem)
      if (lowered) expect(budgetProblem({ ...wanted, tenants: Number(lowered[1]) }, limits)).toBeUndefined()
    }),
  )
  expect(refused).toBeGreaterThan(10)
})
