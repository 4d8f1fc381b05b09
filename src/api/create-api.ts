import { findTenancyError, TenancyError } from '../core/errors/errors.js'
import { callerNetwork } from '../http/client-address.js'
import type { ApiHandler, ApiRequest, PlainApiHandler } from '../http/http-tenancy.js'
import { type PlainAnswer, plainAnswer, plainProblem, toResponse } from '../http/messages/answers.js'
import { splitTarget } from '../http/messages/strict-text.js'
import type { Tenancy } from '../tenancy-interface.js'
import { createDocument, type OpenApiDocument } from './document.js'
import type { Operation, OperationSettings } from './operation.js'
import { createCatalogCounts, createFastCounts } from './limits/counts.js'
import { createInvitationLimits } from './limits/invitation-limits.js'
import { type ApiLimits, createRequestLimits } from './limits/request-limits.js'
import { operations, platformOperations } from './operations/index.js'
import { createReference, type ReferenceOptions } from './reference/reference.js'
import { bindAdmission } from './serving/check-access.js'
import { createIdempotentRequests } from './serving/idempotency.js'
import { createKeptAnswers } from './serving/kept-answers.js'
import { createTenantCount } from './serving/tenant-count.js'
import { checkOptions } from './serving/check-options.js'
import { createRouteTable, refuseMethod } from './serving/route-table.js'
import { type Answer, createOperationRun } from './serving/run-operation.js'

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
  /**
   * The same without a `Request` and, as a rule, a `Response`, for frameworks that would have to make them. What is known is
   * answered at once, without a promise. It neither throws nor rejects.
   */
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
  const requests = createIdempotentRequests(catalog, host.deriveKey('idempotent requests'))

  const run = createOperationRun({
    ...{ find, admissions, limits, requests, services, logger },
    kept: createKeptAnswers(tenancy.rules),
    authenticate: (request) => host.authenticate(authorizationOf(request)),
  })

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

  const answer: PlainApiHandler = (request, { target, remoteAddress, requestId }) => {
    const problem = (error: unknown) =>
      bodiless(request, answerOptions(request, error) ?? plainProblem(error, logger, { requestId }))
    try {
      const { path, query } = splitTarget(target)
      // Only limits of strangers and the audit log go by it.
      const client = () =>
        tenancy.clientAddress({ remoteAddress, forwardedFor: request.headers.get('x-forwarded-for') })
      const given =
        ask && path === askPath
          ? answerAsk(request, query, () => callerNetwork(client()))
          : (reference.answer(request, path) ?? run(request, { path, query, client, requestId }))
      if (!(given instanceof Promise)) return bodiless(request, given)
      return given.then((found) => bodiless(request, found)).catch(problem)
    } catch (error) {
      return problem(error)
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

function targetOf({ url }: Request): string {
  const { pathname, search } = new URL(url)
  return pathname + search
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
