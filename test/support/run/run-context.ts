/** Values that global setup provides to the test workers (vitest `provide` / `inject`). */
export interface RunContext {
  /** Six hex digits, new in every run; part of every name that tests make on the server. */
  readonly runId: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** A superuser of the same server, as which tests themselves act. */
  readonly superuser: { readonly user: string; readonly password: string }
  /** Maintenance database. */
  readonly database: string
  /** Whether this run started the server itself. */
  readonly embedded: boolean
  readonly catalogTemplate: string
  /** Why the template catalog could not be built; `createTestCatalog` throws it. */
  readonly catalogProblem: string | undefined
  readonly redisUrl: string | undefined
}

declare module 'vitest' {
  interface ProvidedContext {
    readonly tenants2fast: RunContext
  }
}

/** Prefix of every database and role of one run. */
export function runPrefix(runId: string): string {
  return `t2f_test_${runId}_`
}
