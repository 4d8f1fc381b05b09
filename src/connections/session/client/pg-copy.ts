import ourPg from 'pg'
import { TenancyError } from '../../../core/errors/errors.js'
import type { PgModule } from '../../../core/tenants/pg-module.js'
import { missingInternal } from './client-internals.js'

/** One copy of `pg` in this process: the classes that clients and pools are made of, and are instances of. */
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
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: it is no copy of `pg`, or lacks a part that connections need
 */
export function pgCopyOf(given: PgModule): PgCopy {
  const module = withoutWrapping(given)
  const { Client, Pool } = module
  if (typeof Client !== 'function' || typeof Pool !== 'function') {
    throw invalid('it has no Client and no Pool')
  }
  if (Client === ourPg.Client) return ownCopy
  const Query = (module.Query ?? (Client as { readonly Query?: unknown }).Query) as PgCopy['Query'] | undefined
  const missing = missingInternal(Client, Pool, Query)
  if (missing !== undefined || Query === undefined) throw invalid(`it has no ${missing ?? 'Query'}`)
  return { Client, Pool, Query }
}

/** Unwraps `import * as pg` and `await import('pg')` of a copy that is CommonJS only. */
function withoutWrapping(given: PgModule): Partial<PgCopy> {
  const module: Partial<PgCopy> & { readonly default?: Partial<PgCopy> } = Object(given) as object
  return module.Client === undefined && module.default ? module.default : module
}

function invalid(why: string): TenancyError {
  return new TenancyError(
    'TENANCY_CONFIG_INVALID',
    `createTenancy({ pg }): what was given is no copy of pg 8.11 or newer, ${why}: pass what \`import pg from 'pg'\` gives`,
  )
}

/**
 * Makes a constructor of the same objects as `base`. They are also instances of `ancestor`, as `instanceof` sees it.
 * `base` must call no method of its own superclass. `name` is the constructor's name, which a minifier leaves alone.
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
