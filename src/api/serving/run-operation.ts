import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import { type KeyedRequestMark, type RequestContext, runInScope } from '../../core/context/request-scope.js'
import type { Logger } from '../../core/logger.js'
import type { User } from '../../core/model.js'
import { auditOriginOf } from '../../http/audit-origin.js'
import { callerNetwork } from '../../http/client-address.js'
import type { ApiRequest } from '../../http/http-tenancy.js'
import { logServerError, type PlainAnswer, plainAnswer } from '../../http/messages/answers.js'
import { refuseRequest } from '../../http/messages/refusals.js'
import { requireActorId } from '../../http/require-user.js'
import type { LimitHeaders, RequestLimits } from '../limits/request-limits.js'
import type { Operation, StreamedAnswer } from '../operation.js'
import { BoundCall, type CallServices } from './bound-call.js'
import type { Admission } from './check-access.js'
import type { IdempotentRequests, StoredAnswer } from './idempotency.js'
import type { KeptAnswers } from './kept-answers.js'
import { namePlaces } from './name-places.js'
import { OperationScope } from './operation-scope.js'
import { type CallParts, readCall } from './read-call.js'
import type { Match } from './route-table.js'
import { respondStream } from './stream-answer.js'
import { tagOf } from './tags.js'

/** A `Response` where the body is a stream or a file. */
export type Answer = PlainAnswer | Response

/** What a request is for, and who sent it. */
export interface OperationTarget {
  readonly path: string
  readonly query: string
  /** As `ClientAddress` gives it. */
  readonly client: () => string
  readonly requestId: string | undefined
}

/** The operation that a request is for, and its caller, who may call it. */
interface Entered {
  readonly match: Match
  readonly context: RequestContext
}

/** What runs operations. */
export interface OperationParts {
  readonly find: (method: string, path: string) => Match
  readonly admissions: ReadonlyMap<Operation, Admission>
  readonly limits: RequestLimits
  readonly requests: IdempotentRequests
  readonly services: CallServices
  readonly kept: KeptAnswers
  /** Finds the user who sends a request, whatever it is for. */
  readonly authenticate: (request: ApiRequest) => Promise<Pick<User, 'id'> | undefined>
  readonly logger: Logger
}

/**
 * Runs the operation that a request is for: its caller is admitted and counted, its parts are checked, its answer has only what
 * the schema has. What it returns throws at once or rejects.
 */
export function createOperationRun(
  parts: OperationParts,
): (request: ApiRequest, target: OperationTarget) => Answer | Promise<Answer> {
  const { find, admissions, limits, requests, services, kept, authenticate, logger } = parts

  /** Counts a request that is refused before its operation: for its user, or else for its address. */
  const countRefused = async (request: ApiRequest, address: () => string, error: unknown): Promise<void> => {
    const status = findTenancyError(error)?.statusCode ?? 500
    if (status >= 500) return
    // Only who is known is refused like that. A token of another audience, or one bound to a tenant, counts for its address.
    const known = status !== 403 ? undefined : await authenticate(request).catch(() => undefined)
    const isChange = request.method !== 'GET' && request.method !== 'HEAD'
    await limits.count({ user: known?.id, address, tenant: undefined, isChange })
  }

  const admit = (request: ApiRequest, { operation, params }: Match): RequestContext | Promise<RequestContext> => {
    const admission = admissions.get(operation)
    if (admission === undefined) throw new TenancyError('TENANCY_ACCESS_DENIED')
    return admission({ headers: request.headers, pathTenant: params['tenant'], pathUser: params['user'] })
  }

  /** Finds the operation and the caller of a request. */
  const enter = (request: ApiRequest, path: string, address: () => string): Entered | Promise<Entered> => {
    const refused = async (error: unknown): Promise<never> => {
      await countRefused(request, address, error)
      throw error
    }
    try {
      const match = find(request.method, path)
      const context = admit(request, match)
      if (!(context instanceof Promise)) return { match, context }
      return context.then((found) => ({ match, context: found }), refused)
    } catch (error) {
      return refused(error)
    }
  }

  const count = ({ match: { operation }, context }: Entered, address: () => string) =>
    limits.count({
      user: callerOf(context),
      address,
      // Whoever holds nothing in a tenant cannot use up what its administrators have.
      tenant: 'permission' in operation.access ? context.tenant?.id : undefined,
      isChange: !operation.isRead,
    })

  const findKept = (request: ApiRequest, { match: { operation }, context }: Entered, limited: LimitHeaders) => {
    if (!operation.isOfContext || readKey(request, operation) !== undefined) return undefined
    const text = kept.find(context, operation)
    return text === undefined ? undefined : respond(operation, operation.answer.status, text, limited)
  }

  async function perform(
    request: ApiRequest,
    { client, requestId }: OperationTarget,
    { match: { operation }, context }: Entered,
    given: CallParts,
    limited: LimitHeaders,
  ): Promise<Answer> {
    const call = new BoundCall(given, context, services)
    const originOf = () =>
      auditOriginOf(context, { requestId, address: client(), isPlatform: 'platform' in operation.access })
    const runIt = async (keyed?: KeyedRequestMark): Promise<unknown> => {
      try {
        return await runInScope(new OperationScope(context, originOf, keyed), () => operation.run(call))
      } catch (error) {
        throw namePlaces(error, operation)
      }
    }
    if (operation.answer.stream !== undefined) {
      return respondStream(operation, (await runIt()) as StreamedAnswer, limited, (error) =>
        logServerError(error, 500, logger, requestId),
      )
    }
    const { status } = operation.answer
    const key = readKey(request, operation)
    if (key === undefined) {
      const make = async () => textOf(operation, await runIt())
      const text = await (operation.isOfContext ? kept.make(context, operation, make) : make())
      return respond(operation, status, text, limited)
    }
    const { params, query: fields, body } = given
    const keyedRequest = {
      key,
      // Nobody gets an answer that somebody else was given.
      user: context.impersonation?.id ?? requireActorId(context),
      operation: operation.id,
      content: [context.tenant?.id, params, fields, body],
    }
    const storedOf = (result: unknown): StoredAnswer => {
      const text = textOf(operation, result)
      return { status, body: text === null ? null : JSON.parse(text) }
    }
    const { secrets, recovery } = operation
    const { answer, isReplay } = await requests.once(keyedRequest, {
      ...{ secrets, action: recovery?.action },
      run: async (keyed) => storedOf(await runIt(keyed)),
      async recover(lost) {
        const found = await runInScope(new OperationScope(context, originOf), async () => recovery?.find(call, lost))
        return found === undefined ? undefined : storedOf(found)
      },
    })
    const text = answer.body === null ? null : JSON.stringify(answer.body)
    return respond(operation, answer.status, text, {
      ...limited,
      ...(isReplay ? { 'idempotency-replayed': 'true' } : {}),
    })
  }

  return (request, target) => {
    const address = () => callerNetwork(target.client())
    return after(enter(request, target.path, address), (entered) =>
      after(count(entered, address), (limited) =>
        after(
          readCall(request, target.query, entered.match),
          (given) => findKept(request, entered, limited) ?? perform(request, target, entered, given, limited),
        ),
      ),
    )
  }
}

/** Goes on with what is known at once, or waits for it: every promise costs a read more than what it asks. */
function after<Value, Result>(
  value: Value | Promise<Value>,
  next: (value: Value) => Result | Promise<Result>,
): Result | Promise<Result> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/** Whose requests are counted: those of an administrator who acts as a member are not the member's. */
function callerOf({ user, serviceAccount, impersonation }: RequestContext): string | undefined {
  return impersonation?.administrator.id ?? user?.id ?? serviceAccount?.apiKey.id
}

/** The document of an answer: only what its schema has, so that nothing leaves by accident. */
function textOf({ answer }: Operation, result: unknown): string | null {
  return answer.schema === undefined ? null : JSON.stringify(answer.schema.parse(result))
}

const maxKeyLength = 200
const idempotencyKey = { header: 'Idempotency-Key' }

function readKey(request: ApiRequest, { recovery, id }: Operation): string | undefined {
  const key = request.headers.get('idempotency-key')
  if (key === null) return undefined
  if (recovery === undefined) throw refuseRequest(`${id} does not take Idempotency-Key`, idempotencyKey)
  if (/^[\x21-\x7e]+$/.test(key) && key.length <= maxKeyLength) return key
  throw refuseRequest(`Idempotency-Key must be 1 to ${maxKeyLength} printable ASCII characters`, idempotencyKey)
}

function respond(
  { taggedBy }: Operation,
  status: number,
  text: string | null,
  headers: Readonly<Record<string, string>>,
): PlainAnswer {
  if (text === null || taggedBy === undefined) return plainAnswer(status, text, headers)
  return plainAnswer(status, text, { etag: `"${tagOf(JSON.parse(text), taggedBy)}"`, ...headers })
}
