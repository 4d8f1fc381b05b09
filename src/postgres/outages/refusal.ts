import { quoteLiteral } from '../text/quote.js'

// An error that a statement of ours raises, so that the statements after it in the same message have no effect. PostgreSQL's
// SQL has no RAISE; a cast that fails carries the message.

const mark = 'refused by tenants2fast: '

/** SQL that fails with a message unless `condition`, an expression that is not constant, is true. */
export function refuseUnless(condition: string, message: string): string {
  return `select (case when ${condition} then '0' else ${quoteLiteral(mark + message)} end)::pg_catalog.int4 as refused`
}

/** The message of {@link refuseUnless}; undefined: another error. */
export function refusalOf(error: unknown): string | undefined {
  const { message = '' } = (error ?? {}) as { message?: string }
  // The rest of PostgreSQL's message depends on the language of the server.
  return new RegExp(`"${mark}([^"]*)"`).exec(message)?.[1]
}
