/** A query that may be prepared: text and values, and nothing said about how to run it. */
export interface Preparable {
  readonly text: string
  readonly values: readonly unknown[]
}

/** The query, if it may be prepared. */
export function preparableFrom(query: unknown, values: unknown): Preparable | undefined {
  if (typeof query === 'string') {
    return Array.isArray(values) && values.length > 0 ? { text: query, values } : undefined
  }
  if (typeof query !== 'object' || query === null) return undefined
  const config = query as Partial<Preparable> & Readonly<Record<string, unknown>>
  // A name, a portal, a page size, a mode of its own: somebody knows what he wants.
  if (!Object.keys(config).every((key) => plainKeys.has(key)) || typeof config.text !== 'string') return undefined
  const given = Array.isArray(values) ? values : config.values
  return Array.isArray(given) && given.length > 0 ? { ...config, text: config.text, values: given } : undefined
}

const plainKeys = new Set(['text', 'values', 'rowMode', 'types', 'signal'])

/** The text of whatever `query` takes; empty when it has none. */
export function textOf(query: unknown): string {
  if (typeof query === 'string') return query
  if (typeof query !== 'object' || query === null) return ''
  if ('text' in query && typeof query.text === 'string') return query.text
  // pg-query-stream keeps its text in its cursor.
  return 'cursor' in query ? textOf(query.cursor) : ''
}
