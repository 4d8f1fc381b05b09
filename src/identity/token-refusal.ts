import type { Refusal } from '../core/refusal-log.js'

/** The reason why a token is refused. It is for the log only: callers of the API get one fixed message. */
export class TokenRefusal extends Error implements Refusal {
  override readonly name = 'TokenRefusal'

  readonly check: string
  readonly issuer: string | undefined
  readonly help: string | undefined

  /**
   * @param check the check that failed, one of a few fixed texts
   * @param issuer the configured issuer that the token names; undefined: none, or not known yet
   * @param help the value found, and the setting that would accept it; undefined: no setting would
   */
  constructor(check: string, issuer?: string, help?: string) {
    super(check)
    this.check = check
    this.issuer = issuer
    this.help = help
  }
}

/** Makes a token's value safe for the log: quoted, short and without control characters. */
export function quote(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value))
    return value.length === 0
      ? 'an empty array'
      : `an array with ${Array.isArray(value[0]) ? 'an array' : quote(value[0])}`
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value !== 'string') return JSON.stringify(value)
  return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}…` : value).replaceAll(/\p{Cc}/gu, '?')
}
