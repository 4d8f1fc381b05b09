/** Where a change over HTTP comes from, for the audit log. */
export interface AuditOrigin {
  /** The request's id, as log lines and problem documents show it. */
  readonly requestId?: string | undefined
  /** Id of the user or service account that sent the request. Undefined: nobody known. */
  readonly caller?: string | undefined
  /** The client's address, in canonical form. Undefined: it is not known. */
  readonly address?: string | undefined
  /** Whether an administrator of the installation called with a token of the platform. */
  readonly isPlatform?: boolean | undefined
  /** The administrator who acts as the user of the request. */
  readonly impersonation?: { readonly id: string; readonly administrator: string } | undefined
}
