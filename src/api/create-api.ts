import { findTenancyError, TenancyError } from '../core/errors/errors.js'
import { type KeyedRequestMark, type RequestContext, RequestScope, runInScope } from '../core/context/request-scope.js'
import { auditOriginOf } from '../http/audit-origin.js'
import { callerNetwork } from '../http/client-address.js'
import type { ApiHandler } from '../http/http-tenancy.js'
import { answerJson, answerNothing, answerProblem, logServerError } from '../http/messages/answers.js'
import { refuseRequest } from '../http/messages/refusals.js'
import { splitTarget } from '../http/messages/strict-text.js'
import { requireActorId, requireTenant, requireUser } from '../http/require-user.js'
import type { Tenancy } from '../tenancy-interface.js'
import { createDocument, type OpenApiDocument } from './document.js'
import type { Operation, OperationSettings, StreamedAnswer } from './operation.js'
import { createCatalogCounts, createFastCounts } from './limits/counts.js'
import { createInvitationLimits } from './limits/invitation-limits.js'
import { type ApiLimits, createRequestLimits } from './limits/request-limits.js'
import { operations, platformOperations } from './operations/index.js'
import { createReference, type ReferenceOptions } from './reference/reference.js'
import { bindAdmission } from './serving/check-access.js'
import { createIdempotentRequests, type StoredAnswer } from './serving/idempotency.js'
import { namePlaces } from './serving/name-places.js'
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
  const countTenants = createTenantCount(catalog)
  const requests = createIdempotentRequests(catalog, host.deriveKey('idempotent requests'))

  /** Counts a request that is refused before its operation: for its user, or else for its address. */
  const countRefused = async (request: Request, address: string, error: unknown): Promise<void> => {
    const status = findTenancyError(error)?.statusCode ?? 500
    if (status >= 500) return
    // Only who is known is refused like that. A token of another audience, or one bound to a tenant, counts for its address.
    const known = status !== 403 ? undefined : await host.authenticate(authorizationOf(request)).catch(() => undefined)
    const isChange = request.method !== 'GET' && request.method !== 'HEAD'
    await limits.count({ user: known?.id, address, tenant: undefined, isChange })
  }

  const findAndAdmit = async (request: Request, path: string): Promise<readonly [Match, RequestContext]> => {
    const match = find(request.method, path)
    const admit = admissions.get(match.operation)
    if (admit === undefined) throw new TenancyError('TENANCY_ACCESS_DENIED')
    const { tenant: pathTenant, user: pathUser } = match.params
    return [match, await admit({ headers: request.headers, pathTenant, pathUser })]
  }

  const run = async (request: Request, { path, query, client, requestId }: Target): Promise<Response> => {
    const address = callerNetwork(client)
    let admitted: readonly [Match, RequestContext]
    try {
      admitted = await findAndAdmit(request, path)
    } catch (error) {
      await countRefused(request, address, error)
      throw error
    }
    const [match, context] = admitted
    const { operation } = match
    const limited = await limits.count({
      ...{ user: callerOf(context), address },
      // Whoever holds nothing in a tenant cannot use up what its administrators have.
      tenant: 'permission' in operation.access ? context.tenant?.id : undefined,
      isChange: operation.method !== 'get',
    })
    const parts = await readCall(request, query, match)
    const call = {
      ...{ ...parts, context, tenancy, settings, countTenants, invitationLimits },
      get user() {
        return requireUser(context)
      },
      get scope() {
        return { tenant: requireTenant(context).id, actor: requireActorId(context) }
      },
    }
    const origin = auditOriginOf(context, { requestId, address: client, isPlatform: 'platform' in operation.access })
    const runIt = (keyed?: KeyedRequestMark) =>
      runInScope(new RequestScope(context, { origin, keyed }), () => operation.run(call)).catch((error: unknown) => {
        throw namePlaces(error, operation)
      })
    if (operation.answer.stream !== undefined) {
      return respondStream(operation, (await runIt()) as StreamedAnswer, limited, (error) =>
        logServerError(error, 500, logger, requestId),
      )
    }
    const answerOf = (result: unknown): StoredAnswer => ({
      ...{ status: operation.answer.status, body: documentOf(operation, result) },
    })
    const work = async (keyed?: KeyedRequestMark): Promise<StoredAnswer> => answerOf(await runIt(keyed))
    const key = readKey(request, operation)
    if (key === undefined) return respond(operation, await work(), limited)
    const { params, query: fields, body } = parts
    const keyed = {
      key,
      // Nobody gets an answer that somebody else was given.
      user: context.impersonation?.id ?? requireActorId(context),
      operation: operation.id,
      content: [context.tenant?.id, params, fields, body],
    }
    const { secrets, recovery } = operation
    const { answer, isReplay } = await requests.once(keyed, {
      ...{ secrets, action: recovery?.action },
      run: work,
      async recover(lost) {
        const found = await runInScope(new RequestScope(context), async () => recovery?.find(call, lost))
        return found === undefined ? undefined : answerOf(found)
      },
    })
    return respond(operation, answer, { ...limited, ...(isReplay ? { 'idempotency-replayed': 'true' } : {}) })
  }

  const answerAsk = async ({ method }: Request, search: string, address: string): Promise<Response> => {
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

  return {
    routes: [...mountsOf(served), ...others.map((path) => ({ path, methods: ['GET'] }))],
    prefixes: [...[...taken].map((segment) => `/${segment}`), ...reference.prefixes],
    document,
    async handle(request, connection) {
      const { requestId } = connection
      try {
        const { pathname, search } = new URL(request.url)
        const { path, query } = splitTarget(connection.target ?? pathname + search)
        const { remoteAddress } = connection
        const client = tenancy.clientAddress({ remoteAddress, forwardedFor: request.headers.get('x-forwarded-for') })
        if (ask && path === askPath) return bodiless(request, await answerAsk(request, query, callerNetwork(client)))
        const known = reference.answer(request, path)
        return bodiless(request, known ?? (await run(request, { path, query, client, requestId })))
      } catch (error) {
        return bodiless(request, answerOptions(request, error) ?? answerProblem(error, logger, { requestId }))
      }
    },
  }
}

/** What a request is for, and who sent it. */
interface Target {
  readonly path: string
  readonly query: string
  /** As `ClientAddress` gives it. */
  readonly client: string
  readonly requestId: string | undefined
}

/** Whose requests are counted: those of an administrator who acts as a member are not the member's. */
function callerOf({ user, serviceAccount, impersonation }: RequestContext): string | undefined {
  return impersonation?.administrator.id ?? user?.id ?? serviceAccount?.apiKey.id
}

const bodiless = ({ method }: Request, response: Response) =>
  method === 'HEAD' ? new Response(null, response) : response

/** Says which methods a path has. Nothing is said about other origins: that is the application's. */
function answerOptions({ method }: Request, error: unknown): Response | undefined {
  if (method !== 'OPTIONS') return undefined
  const known = findTenancyError(error, 'TENANCY_REQUEST_METHOD_UNSUPPORTED')
  return known && answerNothing({ allow: known.allowedMethods?.join(', ') ?? '' })
}

const authorizationOf = ({ headers }: Request) => headers.get('authorization') ?? undefined
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
function documentOf({ answer }: Operation, result: unknown): unknown {
  return answer.schema === undefined ? null : JSON.parse(JSON.stringify(answer.schema.parse(result)))
}

const maxKeyLength = 200
const idempotencyKey = { header: 'Idempotency-Key' }

function readKey(request: Request, { recovery, id }: Operation): string | undefined {
  const key = request.headers.get('idempotency-key')
  if (key === null) return undefined
  if (recovery === undefined) throw refuseRequest(`${id} does not take Idempotency-Key`, idempotencyKey)
  if (/^[\x21-\x7e]+$/.test(key) && key.length <= maxKeyLength) return key
  throw refuseRequest(`Idempotency-Key must be 1 to ${maxKeyLength} printable ASCII characters`, idempotencyKey)
}

function respond(
  { taggedBy }: Operation,
  { status, body }: StoredAnswer,
  headers: Readonly<Record<string, string>>,
): Response {
  if (body === null) return answerNothing(headers)
  const tag = taggedBy === undefined ? {} : { etag: `"${tagOf(body, taggedBy)}"` }
  return answerJson(status, body, { ...tag, ...headers })
}
