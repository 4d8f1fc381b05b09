import ourPg from 'pg'
import { TenancyError } from '../../core/errors/errors.js'
import type { PgModule } from '../../core/tenants/pg-module.js'

/** One copy of `pg` in this process: what its clients and pools are made of, and known by. */
export interface PgCopy {
  readonly Client: typeof ourPg.Client
  readonly Pool: typeof ourPg.Pool
  readonly Query: typeof ourPg.Query
}

/** The copy that this package resolves. */
export const ownCopy: PgCopy = { Client: ourPg.Client, Pool: ourPg.Pool, Query: ourPg.Query }

/**
 * The copy of `pg` that an application hands in.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: it is none, or not one that connections can be made of
 */
export function pgCopyOf(given: PgModule): PgCopy {
  const module = withoutWrapping(given)
  const { Client, Pool } = module
  if (typeof Client !== 'function' || typeof Pool !== 'function') {
    throw invalid('it has no Client and no Pool')
  }
  if (Client === ourPg.Client) return ownCopy
  const Query = (module.Query ?? (Client as { readonly Query?: unknown }).Query) as PgCopy['Query'] | undefined
  const missing = missingPartOf(Client, Pool, Query)
  if (missing !== undefined || Query === undefined) throw invalid(`it has no ${missing ?? 'Query'}`)
  return { Client, Pool, Query }
}

/** `import * as pg`, and `await import('pg')`, of a copy that is CommonJS only. */
function withoutWrapping(given: PgModule): Partial<PgCopy> {
  const module: Partial<PgCopy> & { readonly default?: Partial<PgCopy> } = Object(given) as object
  return module.Client === undefined && module.default ? module.default : module
}

/** Looks for the parts that `pg`'s types don't tell of; a client that is never connected costs nothing. */
function missingPartOf(Client: PgCopy['Client'], Pool: PgCopy['Pool'], Query: unknown): string | undefined {
  if (typeof Query !== 'function') return 'Query'
  const methods: readonly (readonly [object | undefined, readonly string[]])[] = [
    [Client.prototype, ['connect', 'query', 'end', 'getTypeParser', '_handleAuthSASLContinue']],
    [Pool.prototype, ['connect', 'query', 'end']],
    [Query.prototype as object, ['submit', 'prepare', 'hasBeenParsed', 'handleRowDescription', 'handleError']],
  ]
  for (const [prototype, names] of methods) {
    const lacking = names.find((name) => typeof (prototype as Record<string, unknown>)?.[name] !== 'function')
    if (lacking !== undefined) return lacking
  }
  let client: Record<string, unknown>
  try {
    client = new Client({ host: '127.0.0.1', password: '' }) as unknown as Record<string, unknown>
  } catch {
    return 'Client that can be made'
  }
  if (!Array.isArray(client['_queryQueue'] ?? client['queryQueue'])) return 'queue of queries'
  const connection = client['connection'] as Record<string, unknown> | undefined
  // node-postgres's native client has no connection of its own.
  if (typeof connection?.['parsedStatements'] !== 'object') return 'connection (is it the native client?)'
  const lacking = ['query', 'sync', 'close', 'describe', 'sendSCRAMClientFinalMessage'].find(
    (name) => typeof connection[name] !== 'function',
  )
  return lacking === undefined && client['_types'] === undefined ? '_types' : lacking
}

function invalid(why: string): TenancyError {
  return new TenancyError(
    'TENANCY_CONFIG_INVALID',
    `createTenancy({ pg }): what was given is no copy of pg 8.11 or newer, ${why}: pass what \`import pg from 'pg'\` gives`,
  )
}

/**
 * A constructor of the same objects as `base`, which are also instances of `ancestor`, to whoever asks. `base` must call no
 * method of its own superclass. `name`: what the constructor is called, which a minifier leaves alone.
 */
export function descendantOf<Base extends AnyConstructor>(base: Base, ancestor: AnyConstructor, name: string): Base {
  const made = function (this: unknown, ...given: unknown[]): object {
    return Reflect.construct(base, given, made) as object
  }
  Object.defineProperty(made, 'name', { value: name })
  const members = Object.getOwnPropertyDescriptors(base.prototype as object)
  const constructor = { value: made, writable: true, configurable: true, enumerable: false }
  made.prototype = Object.create(ancestor.prototype as object, { ...members, constructor })
  return made as unknown as Base
}

type AnyConstructor = abstract new (...given: never[]) => object
