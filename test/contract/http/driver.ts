import type { AccountsHandler, HttpTenancy } from '../../../src/http/http-tenancy.js'
import type { Api } from '../../../src/api/index.js'
import type { RouteNeeds } from '../../../src/core/request-path.js'
import type { Tenant, User } from '../../../src/core/model.js'

/** A guard of a route or a scope. */
export type GuardSpec =
  | { readonly permission: readonly [] | readonly [name: string] | readonly [path: string, method: string] }
  | { readonly role: string }
  | { readonly schema: string }

/** What a handler is given. */
export interface Call {
  /** The framework's own way to the user and the tenant. Undefined: there is none. */
  readonly user: User | undefined
  readonly tenant: Tenant | undefined
  param(name: string): string | undefined
  /** The body, parsed as JSON. */
  json(): Promise<unknown>
}

/** A text, a value that becomes JSON, or the chunks of a stream. */
export type Handler = (call: Call) => unknown

/** A route of an application. */
export interface RouteSpec {
  /** Default: GET. */
  readonly methods?: readonly string[]
  /** With `:name` for parameters and `*` at the end for the rest. */
  readonly url: string
  /** Default: nothing is said. */
  readonly needs?: RouteNeeds
  readonly guards?: readonly GuardSpec[]
  readonly handler: Handler
}

/** Routes below a prefix. */
export interface ScopeSpec {
  readonly prefix?: string
  /** Guards of everything in the scope. */
  readonly guards?: readonly GuardSpec[]
  readonly routes?: readonly RouteSpec[]
  readonly scopes?: readonly ScopeSpec[]
}

/** A line of the log. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly requestId?: string
  readonly tenantId?: string
  readonly userId?: string
  /** The whole line, as text. */
  readonly text: string
}

/** An application to serve. */
export interface ApplicationSpec extends ScopeSpec {
  readonly tenancy: HttpTenancy
  readonly accounts?: { readonly handle: AccountsHandler } | undefined
  readonly api?: Api | undefined
  readonly tenantParameter?: string
  /** The application's own error handler. Undefined as an answer: it passes the error on. Default: none. */
  readonly onError?: (error: unknown) => { readonly status: number; readonly text: string } | undefined
  /** Allows this origin by the framework's CORS middleware. Default: none. */
  readonly corsOrigin?: string
  /** Is given the lines of the log. */
  readonly log?: (line: LogLine) => void
}

/** An application that listens. */
export interface ServedApplication {
  readonly port: number
  close(): Promise<void>
}

/** What the contract needs of a framework and its adapter: it serves an application on a free port of 127.0.0.1. */
export interface FrameworkDriver {
  readonly name: string
  serve(application: ApplicationSpec): Promise<ServedApplication>
}
