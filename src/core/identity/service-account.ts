/** The service account of a request, and the key that it came with. */
export interface CallingServiceAccount {
  readonly id: string
  readonly name: string
  readonly tenantId: string
  /** The key's id, its name, and the visible beginning of its text. */
  readonly apiKey: { readonly id: string; readonly name: string; readonly prefix: string }
}
