import { findInErrors, readProperty } from './error-chain.js'
import { type ErrorEntry, errorTable, type TenancyErrorCode, type TenancyErrorDetails } from './error-table.js'

export { errorTable, type FieldError, type TenancyErrorCode, type TenancyErrorDetails } from './error-table.js'

/** Optional parts of an error. */
export interface TenancyErrorOptions<Code extends TenancyErrorCode = TenancyErrorCode> {
  /** The error underneath. It is for logs; it never reaches a response. */
  readonly cause?: unknown
  /** Seconds after which a retry makes sense; becomes `Retry-After`. Default: as the table of errors says (a 503: 1). */
  readonly retryAfterSeconds?: number
  /** The methods that are supported, for TENANCY_REQUEST_METHOD_UNSUPPORTED; becomes `Allow`. */
  readonly allowedMethods?: readonly string[]
  /** Length of the file, for TENANCY_REQUEST_RANGE_UNSATISFIABLE; becomes `Content-Range`. */
  readonly completeBytes?: number
  /** Facts for programs (never a secret), of the code's own type: added to the problem document. */
  readonly details?: TenancyErrorDetails<Code>
}

const brand = Symbol.for('tenants2fast.TenancyError')

/**
 * The one error class of this package. Tell errors apart by `code`, not by message.
 *
 * @example Catching one code
 * try {
 *   await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: user.id })
 * } catch (error) {
 *   if (isTenancyError(error, 'TENANCY_TENANT_SLUG_TAKEN')) return reply.code(409).send()
 *   throw error
 * }
 *
 * @example Reading what an error carries: its details have the type of the code
 * } catch (error) {
 *   const invalid = findTenancyError(error, 'TENANCY_TENANT_INPUT_INVALID')
 *   if (invalid === undefined) throw error
 *   for (const problem of invalid.details?.problems ?? []) console.warn(problem)
 * }
 */
export class TenancyError<Code extends TenancyErrorCode = TenancyErrorCode> extends Error {
  override readonly name = 'TenancyError'
  readonly code: Code
  /** HTTP status this error answers with. Fastify reads `statusCode`. */
  readonly statusCode: number
  readonly title: string
  /** Seconds after which a retry makes sense. */
  readonly retryAfterSeconds: number | undefined
  /** The methods that are supported, of TENANCY_REQUEST_METHOD_UNSUPPORTED. */
  readonly allowedMethods: readonly string[] | undefined
  /** Length of the file, of TENANCY_REQUEST_RANGE_UNSATISFIABLE. */
  readonly completeBytes: number | undefined
  /** Facts of the code's own type; undefined for most codes. */
  readonly details: TenancyErrorDetails<Code> | undefined

  constructor(code: Code, message?: string, options: TenancyErrorOptions<Code> = {}) {
    const entry: ErrorEntry = errorTable[code]
    super(message ?? entry.title, options.cause === undefined ? undefined : { cause: options.cause })
    const retryAfter = entry.headers?.['retry-after']
    this.code = code
    this.statusCode = entry.status
    this.title = entry.title
    this.retryAfterSeconds = options.retryAfterSeconds ?? (retryAfter === 'given' ? undefined : retryAfter)
    this.details = options.details
    this.allowedMethods = options.allowedMethods
    this.completeBytes = options.completeBytes
    Object.defineProperty(this, brand, { value: true })
  }
}

/**
 * Finds the {@link TenancyError} that an error is or was caused by, of `code` if given: ORMs wrap what a pool throws in
 * errors of their own. The outermost one counts. Undefined for any other error. Works across two copies of the package.
 *
 * Looks through `cause`, and through what TypeORM, Prisma and MikroORM use instead of it.
 */
export function findTenancyError<Code extends TenancyErrorCode = TenancyErrorCode>(
  error: unknown,
  code?: Code,
): TenancyError<Code> | undefined {
  const found = isBranded(error) ? error : (findInErrors(error, branded) ?? findInErrors(error, restored))
  return found !== undefined && (code === undefined || found.code === code) ? (found as TenancyError<Code>) : undefined
}

/**
 * Tells whether `error` is a {@link TenancyError} or was caused by one, of `code` if given. Works across two copies of the
 * package. It narrows nothing, as the error may be the cause of `error`: {@link findTenancyError} gives the error itself,
 * with `statusCode` and the typed `details` of its code.
 */
export function isTenancyError(error: unknown, code?: TenancyErrorCode): boolean {
  return findTenancyError(error, code) !== undefined
}

function isBranded(error: unknown): error is TenancyError {
  return readProperty(error, brand) === true
}

function branded(error: object): TenancyError | undefined {
  return isBranded(error) ? error : undefined
}

/** MikroORM copies an error's properties to an error of its own and drops the original: they tell which one it was. */
function restored(error: object): TenancyError | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, statusCode, title, retryAfterSeconds, allowedMethods, details } = error as Error & Partial<TenancyError>
  if (typeof code !== 'string' || !Object.hasOwn(errorTable, code)) return undefined
  const entry: ErrorEntry = errorTable[code]
  if (statusCode !== entry.status || title !== entry.title) return undefined
  return new TenancyError(code, error.message, {
    cause: error,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(allowedMethods === undefined ? {} : { allowedMethods }),
    ...(details === undefined ? {} : { details }),
  })
}
