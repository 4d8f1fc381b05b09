import { z } from 'zod'
import type { NamesOf } from '../../core/columns.js'
import type { userColumns } from '../../core/model.js'
import { cleanLine, isShownLine, shownLineProblem } from '../../core/shown-line.js'
import { isWellFormed } from '../../core/text.js'

/** Free text of a person. Characters that cannot be stored (NUL) or shown are refused. */
const text = (longest: number) =>
  z
    .string()
    .max(longest, `must have at most ${longest} characters`)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'must have no control characters')

/** The name of a person, which others are shown. */
const personName = z
  .string()
  .transform(cleanLine)
  .pipe(z.string().max(200, 'must have at most 200 characters').refine(isShownLine, shownLineProblem))

const email = text(320).min(1, 'must not be empty')
// The provider decides whether a password is good enough.
const password = z
  .string()
  .max(1024, 'must have at most 1024 characters')
  .refine(isWellFormed, 'must not have half of a surrogate pair in it')
const opaque = text(1024).min(1, 'must not be empty')
const webAddress = text(2048).refine(
  (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
  'must be an http(s) address',
)

/** The fields of each route. Any other field is an error, so that a misspelled one is noticed. */
export const schemas = {
  registration: z.strictObject({ email, password: password.optional(), name: personName.optional() }),
  confirmation: z.strictObject({ token: opaque, password, name: personName.optional() }),
  credentials: z.strictObject({ email, password, cookie: z.boolean().optional() }),
  address: z.strictObject({ email }),
  link: z.strictObject({ token: opaque }),
  passwordReset: z.strictObject({ token: opaque, password }),
  // An empty form field counts as missing. The page then asks again.
  passwordForm: z.strictObject({ token: opaque, password: password.default('') }),
  passwordChange: z.strictObject({ current: password, next: password }),
  logout: z.strictObject({ refresh_token: opaque.optional(), everywhere: z.boolean().optional() }),
  cookieLogout: z.strictObject({ everywhere: z.boolean().optional() }),
  profileChange: z.strictObject({
    name: personName.optional(),
    image: webAddress.nullable().optional(),
  } satisfies Record<NamesOf<typeof userColumns, 'writable'>, z.ZodType>),
  // RFC 6749, 3.2: unknown parameters are ignored.
  tokenRequest: z.object({
    grant_type: z.string().optional(),
    username: z.string().optional(),
    password: z.string().optional(),
  }),
  passwordGrant: z.object({ username: email, password }),
  refreshGrant: z.object({ refresh_token: opaque.optional(), tenant: text(200).optional() }),
  addressChange: z.strictObject({ email, password }),
  consent: z.strictObject({ token: opaque }),
} as const
