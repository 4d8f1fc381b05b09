import { TenancyError } from '../../core/errors/errors.js'

/** Hashes passwords for storage. */
export interface PasswordHasher {
  hash(password: string): Promise<string>
  /** Tells whether `hash` was made from `password`. Takes equally long for a wrong and the right password. */
  verify(hash: string, password: string): Promise<boolean>
}

/**
 * The minimum that OWASP recommends (Password Storage Cheat Sheet, Argon2id): 19 MiB of memory, 2 iterations, parallelism 1.
 * The variant is the library's default, argon2id; the catalog refuses to store any other.
 */
const parameters = { memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 }

/**
 * Creates a hasher for Argon2id (RFC 9106) with `@node-rs/argon2`, an optional peer. It runs on threads of its own.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export async function createArgon2Hasher(): Promise<PasswordHasher> {
  const { hash, verify } = await import('@node-rs/argon2').catch((cause: unknown) => {
    throw new TenancyError(
      'TENANCY_CONFIG_PEER_MISSING',
      'Accounts need the package @node-rs/argon2: npm install @node-rs/argon2@2',
      { cause },
    )
  })
  return {
    hash: (password) => hash(password, parameters),
    verify: (stored, password) => verify(stored, password),
  }
}
