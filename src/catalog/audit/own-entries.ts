import { z } from 'zod'
import type { ActorOption } from '../../core/audit-actor.js'
import { isStorable } from '../../core/text.js'
import { actor, schemaOf, tenant } from '../input.js'

/** An entry of the application's own. */
export interface RecordAuditInput extends ActorOption {
  /** Id or slug of the tenant in whose chain it goes. Default, and null: the installation's. */
  readonly tenant?: string | null | undefined
  /** `app.` and then words of lower-case letters, digits and hyphens, joined by dots: `app.invoice.sent`. At most 100 characters. */
  readonly action: string
  /** What was done it to, such as `invoice:42`; one line of at most 200 characters. Default: nothing. */
  readonly subject?: string | null | undefined
  /** A JSON object of at most 16 KiB. Entries are never changed or erased: no personal data. Default: none. */
  readonly data?: Readonly<Record<string, unknown>> | null | undefined
}

/** Most bytes of `data` as JSON. */
const maxBytes = 16_384

/** Checks a {@link RecordAuditInput}. `data` becomes JSON text. */
export const recordInput = schemaOf<RecordAuditInput>()(
  z.strictObject({
    tenant: tenant.nullish(),
    // The prefix tells the application's entries from ours: neither can stand for the other.
    action: z
      .string('must be text')
      .max(100, 'must have at most 100 characters')
      .regex(/^app(\.[a-z0-9]+(-[a-z0-9]+)*)+$/, 'must be like "app.invoice.sent"'),
    subject: z
      .string('must be text')
      .min(1)
      .max(200, 'must have at most 200 characters')
      .refine((text) => !/\p{Cc}/u.test(text) && isStorable(text), 'must be one line')
      .nullish(),
    data: z
      .custom<Readonly<Record<string, unknown>>>(isObject, 'must be an object')
      .transform((data, context) => {
        const problem = (message: string) => {
          context.addIssue({ code: 'custom', message })
          return z.NEVER
        }
        const json = jsonOf(data)
        if (json === undefined) return problem('must be JSON that can be stored')
        if (Buffer.byteLength(json) > maxBytes) return problem(`must have at most ${maxBytes} bytes as JSON`)
        if (Object.keys(JSON.parse(json) as object).some((key) => key.startsWith('tenants2fast.'))) {
          return problem('must have no key that begins with "tenants2fast."')
        }
        return json
      })
      .nullish(),
    actor,
  }),
)

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Undefined: it has a cycle, a BigInt, a getter that throws, or text that PostgreSQL cannot store; or it is no object as JSON. */
function jsonOf(data: object): string | undefined {
  let isValid = true
  try {
    const json = JSON.stringify(data, (key, value: unknown) => {
      if (!isStorable(key) || (typeof value === 'string' && !isStorable(value))) isValid = false
      return value
    })
    return isValid && json?.startsWith('{') ? json : undefined
  } catch {
    return undefined
  }
}
