import { TenancyError } from '../../core/errors/errors.js'

/** One segment of a route's URL. An adapter reads it from its framework's syntax; `source` is the segment as written there. */
export type RouteSegment =
  | { readonly kind: 'literal'; readonly source: string; readonly text: string }
  /** A parameter that stands for exactly one segment. */
  | { readonly kind: 'parameter'; readonly source: string; readonly name: string }
  /** Everything else that a router can match: wildcards, regular expressions, several or optional parameters. */
  | {
      readonly kind: 'pattern'
      readonly source: string
      /** The parameters in it. */
      readonly names: readonly string[]
      /** The segment without the names of its parameters. */
      readonly rest: string
    }

/** A route as its framework registers it. */
export interface RegisteredRoute {
  /** The whole URL as written, with the prefixes of the scopes around it. */
  readonly url: string
  readonly segments: readonly RouteSegment[]
  readonly methods: readonly string[]
}

/**
 * Writes a route's URL as the path of an access rule: `/x/:id` becomes `/x/{id}`.
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: the URL has a pattern
 */
export function rulePathOf({ url, segments }: Pick<RegisteredRoute, 'url' | 'segments'>): string {
  return segments
    .map((segment) => {
      if (segment.kind === 'literal') return segment.text
      if (segment.kind === 'parameter') return `{${segment.name}}`
      throw new TenancyError(
        'TENANCY_ACCESS_DEFINITION_INVALID',
        `requirePermission() can't be used on ${JSON.stringify(url)}: a segment is one ":name" or literal, without ` +
          `wildcard, regular expression or "?". Name the rule: requirePermission('/reports/{id}', 'GET')`,
      )
    })
    .join('/')
}
