import type { AccountsHandler, ApiHandler, HttpTenancy } from '../http-tenancy.js'
import { splitTarget } from '../messages/strict-text.js'

/** The part of the management API that is mounted. */
export interface MountedApi {
  readonly handle: ApiHandler
  /** Paths in braces form, `/tenants/{tenant}`, with their methods. */
  readonly routes: readonly { readonly path: string }[]
  /** Paths below which it also answers what no route of the application has. */
  readonly prefixes: readonly string[]
}

/** What is served beside the routes of an application. */
export interface OwnPathsOptions {
  readonly tenancy: Pick<HttpTenancy, 'authPrefix' | 'jwks'>
  readonly accounts?: { readonly handle: AccountsHandler } | undefined
  readonly api?: MountedApi | undefined
}

/** Answers a request of ours. */
export type OwnHandler = (request: Request, connection: Parameters<ApiHandler>[1]) => Promise<Response>

/** The part of a request that says whether it is ours. */
export interface OwnPathFacts {
  readonly method: string
  /** Path and query as in the request line. */
  readonly target: string
  /** The path that everything but accounts is below, such as `/api`; empty: none. */
  readonly prefix: string
  /** Whether the application has a route for the request, which goes before paths that the API does not have. */
  readonly hasRoute: boolean
}

/** Finds who answers a request among accounts, the management API and our public keys; undefined: it is the application's. */
export type FindOwnHandler = (facts: OwnPathFacts) => OwnHandler | undefined

/** Makes the function that finds who answers a request of ours. */
export function createOwnPaths({ tenancy, accounts, api }: OwnPathsOptions): FindOwnHandler {
  const templates = (api?.routes ?? []).map(({ path }) => path.split('/'))
  const answerKeys: OwnHandler = async () => Response.json(await tenancy.jwks())

  return ({ method, target: whole, prefix, hasRoute }) => {
    if (accounts !== undefined && whole.startsWith(`${tenancy.authPrefix}/`)) return accounts.handle
    if (!whole.startsWith(`${prefix}/`)) return undefined
    const target = whole.slice(prefix.length)
    const { path } = splitTarget(target)
    if (path === '/.well-known/jwks.json' && (method === 'GET' || method === 'HEAD')) return answerKeys
    if (api === undefined) return undefined
    const answer: OwnHandler = (request, connection) => api.handle(request, { ...connection, target })
    const given = path.split('/')
    if (templates.some((template) => isOf(template, given))) return answer
    const isBelow = api.prefixes.some((each) => path === each || path.startsWith(`${each}/`))
    return isBelow && !hasRoute ? answer : undefined
  }
}

function isOf(template: readonly string[], given: readonly string[]): boolean {
  return (
    template.length === given.length &&
    template.every((segment, index) => (segment.startsWith('{') ? given[index] !== '' : segment === given[index]))
  )
}
