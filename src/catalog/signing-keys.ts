import { auditActor } from '../core/audit-actor.js'
import type { NewSigningKey, PublicJwk, SigningAlgorithm, SigningKeyStore } from '../core/identity/signing-keys.js'
import type { SqlClient, SqlPool } from '../core/sql-client.js'
import { actor as actorSchema, parse } from './input.js'
import { inOrder, inTransaction } from './transaction.js'

interface SigningKeyRow {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly public_jwk: PublicJwk
  readonly sealed_private_key: Buffer
  readonly signs_from: Date
  readonly expires_at: Date | null
}

/**
 * The catalog's table `signing_keys`. Times come from the database's clock, so that processes agree. Triggers write the
 * installation's audit log.
 */
export function createSigningKeyStore(pool: SqlPool): SigningKeyStore {
  return {
    async listKeys() {
      const { rows } = await pool.query<SigningKeyRow>(
        `select kid, algorithm, public_jwk, sealed_private_key, signs_from, expires_at
           from signing_keys
          where expires_at is null or expires_at > now()
          order by signs_from, created_at`,
      )
      return rows.map((row) => ({
        kid: row.kid,
        algorithm: row.algorithm,
        publicJwk: row.public_jwk,
        sealedPrivateKey: row.sealed_private_key,
        signsFrom: row.signs_from,
        expiresAt: row.expires_at,
      }))
    },

    async addFirstKey(key) {
      await inTransaction(pool, async (client) => {
        const [, { rows }] = await inOrder([
          lockKeys(client),
          client.query('select 1 from signing_keys where expires_at is null or expires_at > now()'),
        ])
        if (rows.length === 0) await inOrder([insertKey(client, key, 0), client.commit()])
      })
    },

    async addSuccessor(key, { publishSeconds, keepSeconds }, actor) {
      const by = parse(actorSchema, actor) ?? ''
      return inTransaction(pool, async (client) => {
        const [, , { rows }] = await inOrder([
          lockKeys(client),
          client.query(auditActor('$1'), [by]),
          client.query('select 1 from signing_keys where signs_from > now()'),
        ])
        if (rows.length > 0 && publishSeconds > 0) return false
        await inOrder([
          client.query(
            `update signing_keys
                set expires_at = least(expires_at, now() + make_interval(secs => $1))
              where expires_at is null or expires_at > now()`,
            [publishSeconds + keepSeconds],
          ),
          client.query(`delete from signing_keys where expires_at <= now()`),
          insertKey(client, key, publishSeconds),
          client.commit(),
        ])
        return true
      })
    },
  }
}

async function insertKey(client: SqlClient, key: NewSigningKey, publishSeconds: number): Promise<void> {
  await client.query(
    `insert into signing_keys (kid, algorithm, public_jwk, sealed_private_key, signs_from)
     values ($1, $2, $3, $4, now() + make_interval(secs => $5))`,
    [key.kid, key.algorithm, JSON.stringify(key.publicJwk), Buffer.from(key.sealedPrivateKey), publishSeconds],
  )
}

/** Changes of signing keys never run at the same time. */
async function lockKeys(client: SqlClient): Promise<void> {
  await client.query('lock table signing_keys in share row exclusive mode')
}
