import type pg from 'pg'
import type { ConnectionInternals, Fields, QueryInternals } from './client-internals.js'
import type { PgCopy } from './pg-copy.js'

/** Makes the queries of prepared statements. */
export type PreparedQueryClass = new (config: object, callback: unknown, known: KnownStatement) => pg.Submittable

/** A prepared statement of one connection. `fields`: its columns, once the server has described them. */
export interface KnownStatement {
  fields?: Fields
}

/**
 * Makes the class of queries of prepared statements. `pg` asks for the columns every time. Those of a prepared statement
 * never change (the server refuses it with 0A000 instead), so once is enough.
 */
export function preparedQueryClass({ Query: Base }: PgCopy): PreparedQueryClass {
  const Query = Base as unknown as new (config: object, values: undefined, callback: unknown) => QueryInternals

  return class PreparedQuery extends Query {
    readonly #known: KnownStatement

    constructor(config: object, callback: unknown, known: KnownStatement) {
      super(config, undefined, callback)
      this.#known = known
    }

    override prepare(connection: ConnectionInternals): void {
      const { fields } = this.#known
      if (fields === undefined || !this.hasBeenParsed(connection)) return super.prepare(connection)
      this._result.addFields([...fields])
      this._accumulateRows = true
      super.prepare(withoutDescribe(connection))
    }

    override handleRowDescription(message: { readonly fields: Fields }): void {
      this.#known.fields = message.fields
      super.handleRowDescription(message)
    }
  }
}

const withoutDescribes = new WeakMap<ConnectionInternals, ConnectionInternals>()

/** The connection, without the means to ask for columns. */
function withoutDescribe(connection: ConnectionInternals): ConnectionInternals {
  let shortened = withoutDescribes.get(connection)
  if (shortened === undefined) {
    shortened = Object.create(connection, { describe: { value() {} } }) as ConnectionInternals
    withoutDescribes.set(connection, shortened)
  }
  return shortened
}
