import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { TenancyError } from '../core/errors/errors.js'

/** Name of the manifest in a folder. It is written last. */
export const manifestName = 'manifest.json'
export const manifestFormat = 'tenants2fast backup'
export const manifestVersion = 1

/** Names that parts have: ours, and no paths. */
export const partName = /^(?:data-\d{5}\.copy\.gz|database\.dump)(?:\.age)?$/

const text = z.string().max(1000)
const identifier = z
  .string()
  .min(1)
  .refine((name) => Buffer.byteLength(name) <= 63 && !name.includes('\0'))
const count = z.int().min(0)
const named = { schema: identifier, name: identifier }

const manifestSchema = z.strictObject({
  format: z.literal(manifestFormat),
  formatVersion: z.literal(manifestVersion),
  /** Version of tenants2fast. */
  createdBy: text,
  /** `server_version_num`. */
  serverVersion: count,
  /** Bytes of the database on the server's disk. */
  databaseBytes: count,
  /** The moment that the data is of. */
  takenAt: z.iso.datetime(),
  installation: z.guid(),
  tenant: z.strictObject({ id: z.guid(), slug: text, name: text }),
  database: z.strictObject({ id: z.guid(), epoch: count }),
  /** Number of the last schema file, -1: none; and a hash of the names and texts of all. */
  schema: z.strictObject({ version: z.int().min(-1), fingerprint: z.string().regex(/^[0-9a-f]{16}$/) }),
  method: z.enum(['pg_dump', 'copy']),
  isEncrypted: z.boolean(),
  tables: z
    .array(
      z.strictObject({
        ...named,
        columns: z.array(z.strictObject({ name: identifier, type: text, isGenerated: z.boolean() })).max(2000),
        configuration: text.nullable(),
        isForced: z.boolean(),
        rows: count,
        /** Bytes of the rows as text; null: `pg_dump` does not say. */
        bytes: count.nullable(),
        /** Name of its part; null: in the dump. */
        part: z.string().regex(partName).nullable(),
      }),
    )
    .max(100_000),
  sequences: z
    .array(z.strictObject({ ...named, lastValue: z.string().regex(/^-?\d{1,19}$/), isCalled: z.boolean() }))
    .max(100_000),
  materializedViews: z.array(z.strictObject({ ...named, isPopulated: z.boolean() })).max(100_000),
  /** How many there are; they are left out. */
  largeObjects: count,
  /** The structure of the database; see `structure.ts`. */
  structure: z
    .array(z.strictObject({ object: z.string(), kind: text, name: z.string(), definition: z.string() }))
    .max(1_000_000),
  parts: z
    .array(
      z.strictObject({ name: z.string().regex(partName), bytes: count, sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
    )
    .max(100_001),
})

/** What an archive says about itself. */
export type Manifest = z.output<typeof manifestSchema>

const signedSchema = z.strictObject({ manifest: manifestSchema, signature: z.string().regex(/^[0-9a-f]{64}$/) })

/** An archive that cannot be read, or is not what was written. */
export function invalidArchive(problem: string, cause?: unknown): TenancyError {
  return new TenancyError(
    'TENANCY_BACKUP_INVALID',
    `The backup cannot be used: ${problem}`,
    cause === undefined ? {} : { cause },
  )
}

/** Writes a manifest with its signature. The bytes that are signed are those of the text. */
export function signManifest(manifest: Manifest, secret: Buffer): string {
  return `${JSON.stringify({ manifest, signature: signatureOf(manifest, secret) }, null, 1)}\n`
}

/**
 * Reads a manifest.
 *
 * @throws {@link TenancyError} TENANCY_BACKUP_INVALID
 */
export function readManifest(
  json: string,
  secret: Buffer,
): { readonly manifest: Manifest; readonly isSigned: boolean } {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw invalidArchive('its manifest is no JSON', cause)
  }
  const version = (value as { manifest?: { formatVersion?: unknown } } | null)?.manifest?.formatVersion
  if (typeof version === 'number' && version > manifestVersion) {
    throw invalidArchive(
      `it has format ${version}, and this release reads up to ${manifestVersion}: use a newer release`,
    )
  }
  const parsed = signedSchema.safeParse(value)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw invalidArchive(`its manifest is malformed (${issue?.path.join('.') ?? ''})`)
  }
  const { manifest, signature } = parsed.data
  const isSigned = timingSafeEqual(Buffer.from(signature, 'hex'), Buffer.from(signatureOf(manifest, secret), 'hex'))
  return { manifest, isSigned }
}

/** Only installations with the same master secret can make it. Key order is that of the schema, as parsing gives it. */
function signatureOf(manifest: Manifest, secret: Buffer): string {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'tenants2fast backup manifest', 32))
  return createHmac('sha256', key)
    .update(JSON.stringify(manifestSchema.parse(manifest)))
    .digest('hex')
}
