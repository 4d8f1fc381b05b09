import { DrizzleQueryError } from 'drizzle-orm'
import { DrizzleQueryError as DrizzleQueryError044 } from 'drizzle-orm-044'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findTenancyError, isTenancyError, TenancyError } from '../../src/core/errors/errors.js'
import { asOutage, markOutage } from '../../src/postgres/outages/outage.js'
import { problemOf } from '../../src/http/foreign-problem.js'
import { safeRequestId, toProblem } from '../../src/http/problem.js'

// How ORMs wrap a driver's error. Drizzle's wrapper is the real one; the others are copied from the packages.

/** TypeORM 1.1, QueryFailedError: all enumerable properties, and the error as `driverError`; no cause. */
class QueryFailedError extends Error {
  readonly query = 'select secret'
  readonly parameters = ['parameter']
  readonly driverError: Error
  constructor(driverError: Error) {
    super(driverError.toString().replace(/^Error: /, ''))
    this.driverError = driverError
    const { name: _, ...others } = driverError as Error & { name: string }
    Object.assign(this, others)
  }
}

/** MikroORM 6, DriverException: all properties but those with a symbol; the error itself is dropped. */
class DriverException extends Error {
  constructor(previous: Error) {
    super(previous.message)
    for (const key of Object.getOwnPropertyNames(previous)) {
      Object.defineProperty(this, key, { value: (previous as unknown as Record<string, unknown>)[key], writable: true })
    }
    this.name = 'DriverException'
  }
}

/** Prisma 7, DriverAdapterError inside of a PrismaClientKnownRequestError. */
function prismaError(code: string, payload: object): Error {
  const inner = Object.assign(new Error('x'), { name: 'DriverAdapterError', cause: payload })
  return Object.assign(new Error('Invalid `prisma.note.create()` invocation'), {
    name: 'PrismaClientKnownRequestError',
    code,
    meta: { driverAdapterError: inner },
  })
}

const wrappers: [string, (error: Error) => Error][] = [
  ['Drizzle 0.45', (error) => new DrizzleQueryError('select secret', ['parameter'], error)],
  ['Drizzle 0.44', (error) => new DrizzleQueryError044('select secret', ['parameter'], error)],
  ['TypeORM', (error) => new QueryFailedError(error)],
  ['MikroORM', (error) => new DriverException(error)],
  ['an application', (error) => new Error('could not save', { cause: error })],
  ['two of them', (error) => new Error('could not save', { cause: new QueryFailedError(error) })],
  ['Promise.any', (error) => new AggregateError([error, new QueryFailedError(error)], 'All promises were rejected')],
]

describe.each(wrappers)('errors wrapped by %s', (_name, wrap) => {
  test('A wrapped TenancyError is found, with its code, status and Retry-After', () => {
    const error = wrap(new TenancyError('TENANCY_CONNECTION_TIMEOUT', 'tenant acme waits', { retryAfterSeconds: 7 }))
    expect(isTenancyError(error)).toBe(true)
    expect(isTenancyError(error, 'TENANCY_CONNECTION_TIMEOUT')).toBe(true)
    expect(isTenancyError(error, 'TENANCY_CLOSED')).toBe(false)
    expect(findTenancyError(error)).toMatchObject({ code: 'TENANCY_CONNECTION_TIMEOUT', statusCode: 503 })
    const problem = toProblem(error)!
    expect([problem.status, problem.headers['retry-after']]).toEqual([503, '7'])
    expect(JSON.parse(problem.body)).toMatchObject({ code: 'TENANCY_CONNECTION_TIMEOUT' })
    expect(problem.body).not.toMatch(/select|parameter|acme/)
  })

  test('A wrapped refusal keeps its status and details', () => {
    const error = wrap(
      new TenancyError('TENANCY_TENANT_SLUG_TAKEN', 'acme is taken', { details: { slug: 'acme' } as never }),
    )
    expect(JSON.parse(problemOf(error).body)).toMatchObject({ status: 409, slug: 'acme', detail: 'acme is taken' })
  })

  test.each([
    ['shutdown', Object.assign(new Error('terminating connection'), { severity: 'FATAL', code: '57P01' })],
    ['lost connection', new Error('Connection terminated unexpectedly')],
  ])('A wrapped error of a lost database (%s) is answered 503', (_kind, cause) => {
    const problem = toProblem(wrap(cause))!
    expect([problem.status, problem.headers['retry-after']]).toEqual([503, '1'])
    expect(problem.body).not.toMatch(/select|parameter|terminat/)
  })

  test('Any other wrapped error is answered 500 with a title and the request’s id', () => {
    const cause = Object.assign(new Error('duplicate key value (email)=(x@example.com)'), {
      severity: 'ERROR',
      code: '23505',
      detail: 'Key (email)=(x@example.com) already exists.',
    })
    const error = wrap(cause)
    expect([isTenancyError(error), asOutage(error), toProblem(error)]).toEqual([false, undefined, undefined])
    expect(JSON.parse(problemOf(error, { requestId: 'req-1' }).body)).toEqual({
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
      requestId: 'req-1',
    })
  })
})

test('Prisma’s error for a lost connection is an outage, and for a wrong statement it is not', () => {
  const severity = 'FATAL'
  for (const payload of [
    { kind: 'postgres', code: '57P01', severity, originalCode: '57P01', originalMessage: 'terminating connection' },
    { kind: 'TooManyConnections', originalCode: '53300', cause: 'too many clients' },
    { kind: 'ConnectionClosed' },
    { kind: 'DatabaseNotReachable', host: '10.0.0.7', port: 5432 },
  ]) {
    expect([payload.kind, toProblem(prismaError('P2039', payload))?.status]).toEqual([payload.kind, 503])
  }
  const wrong = { kind: 'postgres', code: '42601', severity: 'ERROR', originalCode: '42601' }
  expect(toProblem(prismaError('P2010', wrong))).toBeUndefined()
  expect(toProblem(prismaError('P2002', { kind: 'UniqueConstraintViolation', originalCode: '23505' }))).toBeUndefined()
})

test('A marked connection error is an outage, however deeply it is wrapped', () => {
  const cause = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  expect(asOutage(new Error('x', { cause }))).toBeUndefined()
  markOutage(cause)
  expect(asOutage(new Error('x', { cause: new QueryFailedError(cause) }))?.code).toBe('TENANCY_DATABASE_UNAVAILABLE')
})

test('The outermost TenancyError in a chain counts', () => {
  const inner = new TenancyError('TENANCY_CONNECTION_TIMEOUT')
  const error = new Error('x', { cause: new TenancyError('TENANCY_DATABASE_BUILD_FAILED', 'x', { cause: inner }) })
  expect(findTenancyError(error)?.code).toBe('TENANCY_DATABASE_BUILD_FAILED')
  expect(isTenancyError(error, 'TENANCY_CONNECTION_TIMEOUT')).toBe(false)
})

test('An application error with a 4xx status is not replaced by the TenancyError inside it', () => {
  const cause = new TenancyError('TENANCY_CONNECTION_TIMEOUT')
  const error = Object.assign(new Error('try another name', { cause }), { statusCode: 409 })
  expect(toProblem(error)).toBeUndefined()
  expect(JSON.parse(problemOf(error).body)).toMatchObject({ status: 409, detail: 'try another name' })
})

test('An aggregate that holds an unknown error is unknown itself', () => {
  const known = new TenancyError('TENANCY_CONNECTION_TIMEOUT')
  expect(isTenancyError(new AggregateError([known, new TypeError('a bug')]))).toBe(false)
  expect(isTenancyError(new AggregateError([]))).toBe(false)
})

test('Circles, endless chains and getters or proxies that throw end the search and do no other harm', () => {
  const circle = new Error('a')
  circle.cause = new Error('b', { cause: circle })
  const hostile = new Proxy(new Error('x'), {
    get() {
      throw new Error('no')
    },
    getOwnPropertyDescriptor() {
      throw new Error('no')
    },
  })
  const getter = Object.defineProperty(new Error('x'), 'cause', {
    get() {
      throw new Error('no')
    },
  })
  const endless = (): Error =>
    Object.defineProperty(new Error('x'), 'cause', {
      get: () => endless(),
    })
  let deep: unknown = new TenancyError('TENANCY_CLOSED')
  for (let level = 0; level < 100_000; level += 1) deep = { cause: deep }
  for (const error of [circle, hostile, getter, endless(), deep, { cause: hostile }, new AggregateError([circle])]) {
    expect([isTenancyError(error), asOutage(error), toProblem(error)]).toEqual([false, undefined, undefined])
    expect(problemOf(error).status).toBe(500)
  }
})

test('Any thrown value gets a well-formed answer, and a 5xx never repeats a word of it', () => {
  fc.assert(
    fc.property(fc.anything(), fc.option(fc.integer()), (thrown, status) => {
      const secret = 'select secret from vault'
      const error = Object.assign(new Error(secret), { thrown, ...(status === null ? {} : { statusCode: status }) })
      for (const each of [thrown, error, { cause: thrown, message: secret }]) {
        const { status: answered, body } = problemOf(each, { requestId: 'r' })
        expect(JSON.parse(body)).toMatchObject({ status: answered, requestId: 'r' })
        if (answered >= 500) expect(body).not.toContain('secret')
      }
    }),
  )
})

test.each([
  ['req-1', 'req-1'],
  [42, '42'],
  ['0c5f/é\r\nSet-Cookie: a"b', '0c5f/___Set-Cookie:_a_b'],
  ['x'.repeat(5000), 'x'.repeat(128)],
])('The request id %j is shown bounded and in safe characters', (id, shown) => {
  expect(safeRequestId(id)).toBe(shown)
})
