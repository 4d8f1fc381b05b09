import { afterEach, expect, test, vi } from 'vitest'
import { TenancyError } from '../../src/core/errors/errors.js'
import { stderrLogger } from '../../src/core/logger.js'

afterEach(() => {
  vi.restoreAllMocks()
})

function written(log: () => void): Record<string, unknown>[] {
  const lines: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    lines.push(String(text))
    return true
  })
  log()
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

test('the default logger writes warnings and errors as one JSON line each, and nothing else', () => {
  const lines = written(() => {
    stderrLogger.debug({}, 'no')
    stderrLogger.info({}, 'no')
    stderrLogger.warn({ tenant: 'acme' }, 'a\nb')
    stderrLogger.error({}, 'c')
  })
  expect(lines).toMatchObject([
    { level: 'warn', tenant: 'acme', message: 'a\nb', time: expect.stringMatching(/^\d{4}-/) },
    { level: 'error', message: 'c' },
  ])
})

test('a logged error is shown with its message, code and causes, and without objects that others attached to it', () => {
  const cause = Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED', socket: { secret: 'x' } })
  const [line] = written(() =>
    stderrLogger.error({ err: new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'No catalog', { cause }) }, 'failed'),
  )
  expect(line?.['err']).toMatchObject({
    name: 'TenancyError',
    code: 'TENANCY_CATALOG_UNAVAILABLE',
    message: 'No catalog',
    stack: expect.stringContaining('logger.test'),
    cause: { code: 'ECONNREFUSED', message: 'connection refused' },
  })
  expect(JSON.stringify(line)).not.toContain('secret')
})

test('the causes of a logged error are cut off when they form a circle', () => {
  const error = new Error('round')
  error.cause = error
  const [line] = written(() => stderrLogger.warn({ err: error }, 'failed'))
  expect(JSON.stringify(line).match(/"message":"round"/g)).toHaveLength(6)
})
