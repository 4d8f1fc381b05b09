import { z } from 'zod'
import { parseAddressRange, unixSocketRange } from '../address-range.js'
import { flag, integer, type Setting, urlWith } from './setting-schemas.js'

const list = z.string().transform((value) =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
)

const addressRanges = list.superRefine((ranges, context) => {
  for (const range of ranges) {
    if (range !== unixSocketRange && parseAddressRange(range) === undefined) {
      context.addIssue(`has ${JSON.stringify(range)}, which is no IP address or CIDR range, or one of all addresses`)
    }
  }
})

/** Settings of requests: which tenant they are for, and what is cached for them. */
export const requestSettings = {
  TENANT_URL_PREFIX: {
    description: 'First path segment under which a tenant is named in a URL: `/tenants/{tenant}/…`.',
    schema: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]*$/, 'must be one path segment of a-z, 0-9, _ and -')
      .default('tenants'),
  },
  TENANT_BASE_DOMAIN: {
    description: 'Domain whose subdomains name tenants: with `example.com`, `acme.example.com` asks for `acme`.',
    schema: z
      .string()
      .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/, 'must be a domain name in lower case')
      .optional(),
  },
  TENANT_REQUIRE_NAMED_TENANT: {
    description:
      'Whoever is a member of several tenants has to name one in each request: their default tenant is not used. Who has one membership is served as before.',
    schema: flag(false),
  },
  TENANT_MAX_STALENESS_MS: {
    description:
      'Longest time, in milliseconds, that a cached user, membership or permission may be out of date; 0: never.',
    schema: integer(0, 60_000, 2000),
  },
  TENANT_CHANGES_BY: {
    description:
      'How a process hears of changes in the catalog: `listen` (LISTEN; by itself `poll` where a pooler stands before the catalog) or `poll` (four queries in `TENANT_MAX_STALENESS_MS`).',
    schema: z.enum(['listen', 'poll'], 'must be listen or poll').default('listen'),
  },
  TENANT_REDIS_URL: {
    description: 'Redis that processes share as a cache, and for the limits of the management API.',
    schema: urlWith(['redis:', 'rediss:']).optional(),
    isSecret: true,
  },
  TENANT_REDIS_TTL: { description: 'Seconds that an entry stays in Redis.', schema: integer(1, 86_400, 300) },
  TENANT_SEED_PROFILE: {
    description:
      'Which of the shipped seeds fills roles and permissions: `dev` (with demo routes) or `prod`. Default: `prod` in production, else `dev`.',
    schema: z.enum(['dev', 'prod'], 'must be dev or prod').optional(),
  },
  TENANT_TRUSTED_PROXIES: {
    description:
      'Addresses or CIDR ranges, separated by commas, whose `X-Forwarded-For` is believed; `unix:` stands for connections through a Unix socket.',
    schema: addressRanges.default([]),
  },
} as const satisfies Record<string, Setting>
