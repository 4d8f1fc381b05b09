import { type FieldError, TenancyError } from '../../core/errors/errors.js'

/** Where a request is wrong: a field of its body (`#`: the body as a whole), a parameter of its path or query, or a header. */
export type RefusedPlace = Omit<FieldError, 'detail'>

/** The refusal of a request that has one fault. The place is told in the same form as those of bad fields. */
export function refuseRequest(
  message: string,
  place: RefusedPlace,
  code:
    | 'TENANCY_REQUEST_INVALID'
    | 'TENANCY_REQUEST_TOO_LARGE'
    | 'TENANCY_REQUEST_TYPE_UNSUPPORTED' = 'TENANCY_REQUEST_INVALID',
): TenancyError {
  return new TenancyError(code, message, { details: { errors: [{ ...place, detail: message }] } })
}

/** The refusal of a body that is too long. */
export function refuseLength(maxBytes: number): TenancyError {
  return refuseRequest(`Send at most ${maxBytes} bytes`, { pointer: '#' }, 'TENANCY_REQUEST_TOO_LARGE')
}
