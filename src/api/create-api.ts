import { findTenancyError, TenancyError } from '../core/errors/errors.js'
import { type KeyedRequestMark, type RequestContext, runInScope } from '../core/context/request-scope.js'
import { auditOriginOf } from '../http/audit-origin.js'
import { callerNetwork } from '../http/client-address.js'
import type { ApiHandler, ApiRequest, PlainApiHandler } from '../http/http-tenancy.js'
import { logServerError, type PlainAnswer, plainAnswer, plainProblem, toResponse } from '../http/messages/answers.js'
import { refuseRequest } from '../http/messages/refusals.js'
import { splitTarget } from '../http/messages/strict-text.js'
import { requireActorId } from '../http/require-user.js'
import type { Tenancy } from '../tenancy-interface.js'
import { createDocument, type OpenApiDocument } from './document.js'
import type { Operation, OperationSettings, StreamedAnswer } from './operation.js'
import { createCatalogCounts, createFastCounts } from './limits/counts.js'
import { createInvitationLimits } from './limits/invitation-limits.js'
import { type ApiLimits, createRequestLimits } from './limits/request-limits.js'
import { operations, platformOperations } from './operations/index.js'
import { createReference, type ReferenceOptions } from './reference/reference.js'
import { BoundCall } from './serving/bound-call.js'
import { bindAdmission } from './serving/check-access.js'
import { createIdempotentRequests, type StoredAnswer } from './serving/idempotency.js'
import { createKeptAnswers } from './serving/kept-answers.js'
import { namePlaces } from './serving/name-places.js'
import { OperationScope } from './serving/operation-scope.js'
import { readCall } from './serving/read-call.js'
import { respondStream } from './serving/stream-answer.js'
import { createTenantCount } from './serving/tenant-count.js'
import { checkOptions } from './serving/check-options.js'
import { createRouteTable, type Match, refuseMethod } from './serving/route-table.js'
import { tagOf } from './serving/tags.js'

/** Options of {@link createApi}. */
export interface CreateApiOptions extends OperationSettings, ReferenceOptions {
  /** From `createTenancy()`. */
  readonly tenancy: Tenancy
  /** Title of the document. Default: `Organisations`. */
  readonly title?: string
  /** Version of the document: that of your application. Default: `1`. */
  readonly version?: string
  /** Most requests, and most mails with invitations. Default: see {@link ApiLimits}. */
  readonly limits?: ApiLimits
  /**
   * Whether administrators of the installation are served, at `/platform`. Without, those paths do not exist and nobody gets a
   * token for them. Default: false.
   */
  readonly platform?: boolean
  /**
   * Whether `GET /domains/ask?domain=<host>` tells a proxy which hosts it may get certificates for: 200 for hosts that are proven
   * for active tenants, otherwise 404. Nobody is authenticated there. Default: false.
   */
  readonly ask?: boolean
}

/** The management API of an installation. */
export interface Api {
  /** Answers requests; adapters mount it. It never rejects. */
  readonly handle: ApiHandler
  /** The same without a `Request` and, as a rule, a `Response`, for frameworks that would have to make them. It never rejects. */
  readonly answer: PlainApiHandler
  /** What adapters mount: every path in braces form, with its methods. */
  readonly routes: readonly { readonly path: string; readonly methods: readonly string[] }[]
  /** Paths below which the API also answers what nothing is at: 404, or 405 with `Allow`. */
  readonly prefixes: readonly string[]
  /** The OpenAPI 3.1 document of what is served. */
  readonly document: OpenApiDocument
}

/**
 * Creates the management API: organisations, members, roles and what else `docs/api.md` lists, over HTTP. Each operation
 * demands a permission of its caller inside the tenant that its path names.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: an option is unknown or has another type, or `TENANT_URL_PREFIX` is
 *   `platform` and the platform is switched on; TENANCY_ACCESS_DEFINITION_INVALID: the access definition lacks permissions that
 *   operations demand (`managementAccess` has them)
 * @example
 * const api = createApi({ tenancy })
 * await app.register(tenancyPlugin, { tenancy, api })
 */
export function createApi(options: CreateApiOptions): Api {
  checkOptions(options)
  const {
    tenancy,
    title = 'Organisations',
    version = '1',
    limits: most,
    platform = false,
    ask = false,
    ...more
  } = options
  const { document: documentPath, reference: referencePath, ...settings } = more
  const host = tenancy.accountsHost()
  const { catalog, logger } = host
  if (platform && tenancy.urlPrefix === 'platform') {
    const message = 'The administration of the platform is at /platform: choose another TENANT_URL_PREFIX'
    throw new TenancyError('TENANCY_CONFIG_INVALID', message)
  }
  const own = platform ? [...operations, ...platformOperations] : operations
  const served = own.map((operation) => ({ operation, path: pathOf(operation, tenancy.urlPrefix) }))
  const { find } = createRouteTable(served)
  const admissions = new Map(own.map((operation) => [operation, bindAdmission(operation, tenancy)]))
  const counts = createCatalogCounts(catalog)
  const limits = createRequestLimits(createFastCounts(host.volatileCounts, counts), most)
  // A day is too long for what a restart of Redis forgets.
  const invitationLimits = createInvitationLimits(counts, catalog, host.deriveKey('invitation limits'), most)
  const services = { tenancy, settings, countTenants: createTenantCount(catalog), invitationLimits }
  const kept = createKeptAnswers(tenancy.rules)
  const requests = createIdempotentRequests(catalog, host.deriveKey('idempotent requests'))

  /** Counts a request that is refused before its operation: for its user, or else for its address. */
  const countRefused = async (request: ApiRequest, address: () => string, error: unknown): Promise<void> => {
    const status = findTenancyError(error)?.statusCode ?? 500
    if (status >= 500) return
    // Only who is known is refused like that. A token of another audience, or one bound to a tenant, counts for its address.
    const known = status !== 403 ? undefined : await host.authenticate(authorizationOf(request)).catch(() => undefined)
    const isChange = request.method !== 'GET' && request.method !== 'HEAD'
    await limits.count({ user: known?.id, address, tenant: undefined, isChange })
  }

  const admit = (request: ApiRequest, { operation, params }: Match): RequestContext | Promise<RequestContext> => {
    const admission = admissions.get(operation)
    if (admission === undefined) throw new TenancyError('TENANCY_ACCESS_DENIED')
    return admission({ headers: request.headers, pathTenant: params['tenant'], pathUser: params['user'] })
  }

  // What is known at once is not waited for: every promise costs a read more than what it asks.
  const run = async (request: ApiRequest, { path, query, client, requestId }: Target): Promise<Answer> => {
    const address = () => callerNetwork(client())
    let match: Match
    let context: RequestContext
    try {
      match = find(request.method, path)
      const admitted = admit(request, match)
      context = admitted instanceof Promise ? await admitted : admitted
    } catch (error) {
      await countRefused(request, address, error)
      throw error
    }
    const { operation } = match
    const limited = await limits.count({
      ...{ user: callerOf(context), address },
      // Whoever holds nothing in a tenant cannot use up what its administrators have.
      tenant: 'permission' in operation.access ? context.tenant?.id : undefined,
      isChange: !operation.isRead,
    })
    const reading = readCall(request, query, match)
    const parts = reading instanceof Promise ? await reading : reading
    const call = new BoundCall(parts, context, services)
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
      const text = operation.isOfContext
        ? (kept.find(context, operation) ?? (await kept.make(context, operation, make)))
        : await make()
      return respond(operation, status, text, limited)
    }
    const { params, query: fields, body } = parts
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

  const answerAsk = async ({ method }: ApiRequest, search: string, address: () => string): Promise<Response> => {
    if (method !== 'GET' && method !== 'HEAD') throw refuseMethod(['GET'])
    await limits.count({ user: undefined, address, tenant: undefined, isChange: false })
    const asked = new URLSearchParams(search).getAll('domain')
    const [name = ''] = asked
    const isServed = asked.length === 1 && (await tenancy.isProvenHost({ host: name }))
    return new Response(null, { status: isServed ? 200 : 404, headers: { 'cache-control': 'no-store' } })
  }

  const document = createDocument(served, { title, version })
  const taken = new Set(served.map(({ path }) => path.split('/')[1] ?? ''))
  if (ask) taken.add('domains')
  const reference = createReference(document, { document: documentPath, reference: referencePath }, taken)
  const others = [...(ask ? [askPath] : []), ...reference.paths]

  const answer: PlainApiHandler = async (request, { target, remoteAddress, requestId }) => {
    try {
      const { path, query } = splitTarget(target)
      // Only limits of strangers and the audit log go by it.
      const client = () =>
        tenancy.clientAddress({ remoteAddress, forwardedFor: request.headers.get('x-forwarded-for') })
      if (ask && path === askPath) {
        return bodiless(request, await answerAsk(request, query, () => callerNetwork(client())))
      }
      const known = reference.answer(request, path)
      return bodiless(request, known ?? (await run(request, { path, query, client, requestId })))
    } catch (error) {
      return bodiless(request, answerOptions(request, error) ?? plainProblem(error, logger, { requestId }))
    }
  }

  return {
    routes: [...mountsOf(served), ...others.map((path) => ({ path, methods: ['GET'] }))],
    prefixes: [...[...taken].map((segment) => `/${segment}`), ...reference.prefixes],
    document,
    answer,
    async handle(request, connection) {
      const given = await answer(request, { ...connection, target: connection.target ?? targetOf(request) })
      return given instanceof Response ? given : toResponse(given)
    },
  }
}

/** A `Response` where the body is a stream or a file. */
type Answer = PlainAnswer | Response

/** What a request is for, and who sent it. */
interface Target {
  readonly path: string
  readonly query: string
  /** As `ClientAddress` gives it. */
  readonly client: () => string
  readonly requestId: string | undefined
}

function targetOf({ url }: Request): string {
  const { pathname, search } = new URL(url)
  return pathname + search
}

/** Whose requests are counted: those of an administrator who acts as a member are not the member's. */
function callerOf({ user, serviceAccount, impersonation }: RequestContext): string | undefined {
  return impersonation?.administrator.id ?? user?.id ?? serviceAccount?.apiKey.id
}

function bodiless({ method }: ApiRequest, answer: Answer): Answer {
  if (method !== 'HEAD') return answer
  return answer instanceof Response ? new Response(null, answer) : { ...answer, body: null }
}

/** Says which methods a path has. Nothing is said about other origins: that is the application's. */
function answerOptions({ method }: ApiRequest, error: unknown): PlainAnswer | undefined {
  if (method !== 'OPTIONS') return undefined
  const known = findTenancyError(error, 'TENANCY_REQUEST_METHOD_UNSUPPORTED')
  return known && plainAnswer(204, null, { allow: known.allowedMethods?.join(', ') ?? '' })
}

const authorizationOf = ({ headers }: ApiRequest) => headers.get('authorization') ?? undefined
/** Where proxies ask (Caddy: `on_demand_tls { ask … }`). */
const askPath = '/domains/ask'

/** Operations of tenants are below `TENANT_URL_PREFIX`. */
function pathOf({ path }: Operation, urlPrefix: string): string {
  return path === '/tenants' || path.startsWith('/tenants/') ? `/${urlPrefix}${path.slice('/tenants'.length)}` : path
}

function mountsOf(served: readonly { readonly operation: Operation; readonly path: string }[]): Api['routes'] {
  const methods = new Map<string, string[]>()
  for (const { operation, path } of served) {
    methods.set(path, [...(methods.get(path) ?? []), operation.method.toUpperCase()])
  }
  return [...methods].map(([path, list]) => ({ path, methods: list }))
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
