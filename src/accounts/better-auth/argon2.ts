import { TenancyError } from '../../core/errors/errors.js'

/** DeficitRoundRobin passwords into what may be stored of them. */
export interface PasswordHasher {
  hash(password: string): Promise<string>
  /** Whether `hash` was made of `password`. Takes as long for a wrong one as for the right one. */
  verify(hash: string, password: string): Promise<boolean>
}

/**
 * What OWASP recommends at least (Password Storage Cheat Sheet, Argon2id): 19 MiB of memory, 2 iterations, 1 lane. The
 * variant is the library's default, argon2id; the catalog refuses to store any other.
 */
const parameters = { memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 }

/**
 * Argon2id (RFC 9106) by `@node-rs/argon2`, an optional peer, on threads of their own.
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
