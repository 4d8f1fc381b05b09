import { type FieldError, findTenancyError, TenancyError } from '../../core/errors/errors.js'
import { pointerTo } from '../../core/errors/pointer-to.js'
import type { Operation } from '../operation.js'

/**
 * Adds the places to what a function of `tenancy` refuses: it names its own inputs, `roles.0: must not be empty`, and those
 * that a request has are called the same. Any other error is returned as it is.
 */
export function namePlaces(error: unknown, operation: Operation): unknown {
  const known = findTenancyError(error)
  if (known === undefined) return error
  const { code, message, details } = known as TenancyError<'TENANCY_REQUEST_INVALID'>
  const { problems, errors } = details ?? {}
  if (errors !== undefined || (problems === undefined && known.code !== 'TENANCY_REQUEST_INVALID')) return error
  const faults = (problems ?? [message]).map((problem) => faultOf(problem, operation))
  return new TenancyError(code, message, { cause: error, details: { ...details, errors: faults } })
}

function faultOf(problem: string, { body, query, params }: Operation): FieldError {
  const [, path = '', detail = problem] = /^([\w.]+): (.+)$/s.exec(problem) ?? []
  const names = path.split('.')
  const [first = ''] = names
  if (first in query.shape || first in params.shape) return { parameter: first, detail }
  const isField = body !== undefined && 'shape' in body && first in (body.shape as object)
  return isField ? { pointer: pointerTo(names), detail } : { pointer: '#', detail: problem }
}
