/** A query that may be prepared: it has text and values, and does not say how to run it. */
export interface Preparable {
  readonly text: string
  readonly values: readonly unknown[]
}

/** Returns the query if it may be prepared. */
export function preparableFrom(query: unknown, values: unknown): Preparable | undefined {
  if (typeof query === 'string') {
    return Array.isArray(values) && values.length > 0 ? { text: query, values } : undefined
  }
  if (typeof query !== 'object' || query === null) return undefined
  const config = query as Partial<Preparable> & Readonly<Record<string, unknown>>
  // With a name, a portal, a page size or a mode of its own, the caller has decided how to run it.
  if (!Object.keys(config).every((key) => plainKeys.has(key)) || typeof config.text !== 'string') return undefined
  const given = Array.isArray(values) ? values : config.values
  return Array.isArray(given) && given.length > 0 ? { ...config, text: config.text, values: given } : undefined
}

const plainKeys = new Set(['text', 'values', 'rowMode', 'types', 'signal'])

/** The text of anything that `query` takes; empty when there is none. */
export function textOf(query: unknown): string {
  if (typeof query === 'string') return query
  if (typeof query !== 'object' || query === null) return ''
  if ('text' in query && typeof query.text === 'string') return query.text
  // pg-query-stream keeps its text in its cursor.
  return 'cursor' in query ? textOf(query.cursor) : ''
}
