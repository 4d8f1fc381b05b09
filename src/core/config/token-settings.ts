import { z } from 'zod'
import { integer, type Setting, text, urlWith } from './setting-schemas.js'

const claimPath = z.union(
  [text(200), z.array(text(200)).min(1).max(10)],
  'must be the name of a claim, or a path of 1 to 10 names',
)
const claimValue = z.union([text(1000), z.number(), z.boolean()], 'must be a text, a number, true or false')
const oneOrMore = <Item extends z.ZodType>(item: Item, what: string) =>
  z.union([item, z.array(item).min(1)], `must be ${what}, or an array of at least one`)

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const

// src/core/identity/issuer.ts says what each field means; src/identity checks which go together.
const oidcIssuer = z.strictObject({
  issuer: urlWith(['https:', 'http:']),
  issuerTenants: z
    .union([z.literal('any'), z.array(text()).min(1)], 'must be "any", or an array of at least one directory')
    .optional(),
  audience: oneOrMore(text(), 'a text'),
  audienceClaim: z.enum(['aud', 'client_id', 'azp']).default('aud'),
  jwksUri: urlWith(['https:', 'http:']).optional(),
  allowPrivateNetwork: z.boolean().default(false),
  algorithm: oneOrMore(z.enum(algorithms), `one of ${algorithms.join(', ')}`).default('RS256'),
  typ: oneOrMore(text(40).nullable(), 'a text or null').default('at+jwt'),
  requiredClaims: z.record(text(200), oneOrMore(claimValue, 'a text, a number, true or false')).optional(),
  subjectClaim: text(200).default('sub'),
  tenantClaim: claimPath.optional(),
  tenantClaimType: z.enum(['string', 'array', 'object']).optional(),
  tenantClaimEmpty: z.enum(['refuse', 'unbound']).optional(),
  requireTenant: z.boolean().optional(),
  tenantMap: z.record(text(1000), text(40)).optional(),
  maxTokenBytes: z.number().int().min(1024).max(65_536).default(8192),
  clockToleranceSeconds: z.number().min(0).max(120).default(5),
  createUsers: z.boolean().default(false),
  linkByVerifiedEmail: z.boolean().default(false),
  requireVerifiedEmail: z.boolean().default(true),
  emailClaim: claimPath.optional(),
  emailVerified: z.enum(['claim', 'trusted', 'never']).default('claim'),
  emailVerifiedClaim: claimPath.optional(),
  emailVerifiedValues: z.array(claimValue).min(1).optional(),
})

const oidcIssuers = z
  .string()
  .transform((value, context) => {
    try {
      return JSON.parse(value) as unknown
    } catch {
      context.addIssue('must be a JSON array')
      return z.NEVER
    }
  })
  .pipe(z.array(oidcIssuer))

/** Settings of access tokens, our own and those of other issuers. */
export const tokenSettings = {
  TENANT_TOKEN_ISSUER: {
    description: 'Issuer (`iss`) of our own access tokens.',
    schema: text().default('tenants2fast'),
  },
  TENANT_TOKEN_AUDIENCE: {
    description: 'Audience (`aud`) of our own access tokens.',
    schema: text().default('tenants2fast'),
  },
  TENANT_TOKEN_TTL: { description: 'Seconds that an access token is valid.', schema: integer(1, 900, 900) },
  TENANT_PLATFORM_TOKEN_TTL: {
    description:
      'Seconds that a token of a platform administrator is valid (`POST /platform/token`). It cannot be refreshed.',
    schema: integer(60, 3600, 600),
  },
  TENANT_REFRESH_TTL: {
    description: 'Seconds after a login until its last refresh token ends.',
    schema: integer(60, 31_536_000, 2_592_000),
  },
  TENANT_OIDC_ISSUERS: {
    description:
      'Other issuers whose tokens are accepted: a JSON array of `{ "issuer", "audience", … }`. docs/identity.md has the fields, and the configuration for nine providers.',
    schema: oidcIssuers.default([]),
  },
} as const satisfies Record<string, Setting>
