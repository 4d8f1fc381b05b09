import type { RouteNeeds } from '../../core/request-path.js'

/**
 * One entry of the chain that a router runs for a request: middleware and handlers, in order, each of which may answer or pass
 * the request on. The same object for each request.
 */
export interface ChainEntry {
  /** In upper case; `ALL`: every method, as of middleware. */
  readonly method: string
  /** The whole URL as written, with the prefixes around it. */
  readonly url: string
  /**
   * `needs`: says what the routes behind it need. `own`: middleware and guards of ours, which answer nothing. `handler`:
   * everything of the application; `ends`: it cannot pass the request on.
   */
  readonly part:
    | { readonly kind: 'needs'; readonly needs: RouteNeeds }
    | { readonly kind: 'own' }
    | { readonly kind: 'handler'; readonly ends: boolean }
}

/** A route that may answer a request. */
export interface ChainRoute {
  readonly entry: ChainEntry
  /** Its place in the chain. */
  readonly index: number
  /** Undefined: nobody has said. */
  readonly needs: RouteNeeds | undefined
}

/** What is behind an entry of a chain. */
export interface ChainRest {
  /** The routes that may answer, in order. Several: all but the last may pass the request on. */
  readonly routes: readonly ChainRoute[]
  /** Whether anything of the application may answer, middleware included. */
  readonly mayAnswer: boolean
  /** What the application says that everything at this path needs. Undefined: nothing. */
  readonly needsOfAll: RouteNeeds | undefined
}

const strictness = ['none', 'user', 'tenant'] as const

/** Gives the strictest of some needs; undefined: there are none. */
export function strictestOf(all: readonly RouteNeeds[]): RouteNeeds | undefined {
  return strictness.findLast((needs) => all.includes(needs))
}

/**
 * Reads what is behind an entry of a chain. Nothing tells middleware from a handler for certain, so whatever could be a route
 * counts as one: an entry for one method, and one that cannot pass the request on.
 *
 * What a route needs is said by entries before it: in its own registration, or else for every method at paths around it. The
 * strictest counts.
 */
export function readChain(chain: readonly ChainEntry[], from: number): ChainRest {
  const said: (ChainEntry & { readonly part: { readonly needs: RouteNeeds } })[] = []
  const routes: ChainRoute[] = []
  let mayAnswer = false
  const ofAll = () => strictestOf(said.filter(({ method }) => method === 'ALL').map(({ part }) => part.needs))
  for (const [index, entry] of chain.entries()) {
    const { part } = entry
    if (part.kind === 'needs') said.push({ ...entry, part })
    if (part.kind !== 'handler' || index <= from) continue
    mayAnswer = true
    const isForAll = entry.method === 'ALL'
    if (isForAll && !part.ends) continue
    const own = strictestOf(said.filter((each) => isSameRoute(each, entry)).map((each) => each.part.needs))
    routes.push({ entry, index, needs: own ?? ofAll() })
    if (part.ends) break
  }
  return { routes, mayAnswer, needsOfAll: ofAll() }
}

/** Whether two entries are of one route. */
export function isSameRoute(one: ChainEntry, other: ChainEntry): boolean {
  return one.method === other.method && one.url === other.url
}
