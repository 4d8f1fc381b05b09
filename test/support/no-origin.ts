/** The fields of an entry of the audit log that say where a request came from, of a change that no request made. */
export const noOrigin = { requestId: null, address: null, isPlatform: false, impersonation: null } as const
