/**
 * The shape of a JSON value, as data: for docs/cli.md, `--help`, and tests that compare it with what a command writes. Text is a
 * type as TypeScript writes it (`string`, `number | null`, `'active' | 'suspended'`, `date` for an ISO 8601 time, `any`); a list has
 * one element; a key that ends with `?` may be missing.
 */
export type Shape = string | readonly [Shape] | { readonly [key: string]: Shape }

export const tenantShape = {
  id: 'string',
  slug: 'string',
  name: 'string',
  status: "'active' | 'suspended' | 'deleted'",
  contactEmail: 'string | null',
  maxUsers: 'number | null',
  databaseId: 'string | null',
  createdBy: 'string | null',
  createdAt: 'date',
  updatedAt: 'date',
  suspendedAt: 'date | null',
  deletedAt: 'date | null',
} as const satisfies Shape

export const userShape = {
  id: 'string',
  email: 'string',
  name: 'string',
  image: 'string | null',
  emailVerified: 'boolean',
  disabledAt: 'date | null',
  createdAt: 'date',
  updatedAt: 'date',
} as const satisfies Shape

export const memberShape = {
  userId: 'string',
  tenantId: 'string',
  isActive: 'boolean',
  isDefault: 'boolean',
  createdAt: 'date',
  updatedAt: 'date',
  email: 'string',
  name: 'string',
  roles: ['string'],
} as const satisfies Shape
