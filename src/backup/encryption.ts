import { Readable } from 'node:stream'
import { TenancyError } from '../core/errors/errors.js'
import { invalidArchive } from './manifest.js'

// https://age-encryption.org/v1: a header with the file's key for each recipient, then chunks that are authenticated one by one
// and in their order, so that a file that was cut or changed is noticed.

type Through = (bytes: Readable) => Promise<Readable>

/**
 * Makes a function that encrypts a stream to public keys (`age1…`).
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING; TENANCY_REQUEST_INVALID: a text that is no such key
 */
export async function encryptionTo(recipients: readonly string[]): Promise<Through> {
  const { Encrypter } = await loadAge()
  const make = () => {
    const encrypter = new Encrypter()
    for (const recipient of recipients) encrypter.addRecipient(recipient)
    return encrypter
  }
  try {
    make()
  } catch (cause) {
    throw new TenancyError('TENANCY_REQUEST_INVALID', 'Invalid input: encryptTo: is not an age public key (age1…)', {
      cause,
    })
  }
  return async (bytes) => fromWeb(await make().encrypt(toWeb(bytes)))
}

/**
 * Makes a function that decrypts a stream with identities (`AGE-SECRET-KEY-1…`). It fails with TENANCY_BACKUP_INVALID.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING; TENANCY_REQUEST_INVALID: a text that is no such key
 */
export async function decryptionWith(identities: readonly string[]): Promise<Through> {
  const { Decrypter } = await loadAge()
  const make = () => {
    const decrypter = new Decrypter()
    for (const identity of identities) decrypter.addIdentity(identity)
    return decrypter
  }
  try {
    make()
  } catch {
    // Without the cause: it could hold a part of the key.
    throw new TenancyError(
      'TENANCY_REQUEST_INVALID',
      'Invalid input: identity: is not an age identity (AGE-SECRET-KEY-1…)',
    )
  }
  return async (bytes) => {
    try {
      return fromWeb(await make().decrypt(toWeb(bytes)))
    } catch (cause) {
      throw invalidArchive('it cannot be decrypted: it needs another identity, or its beginning was changed', cause)
    }
  }
}

async function loadAge() {
  try {
    return await import('age-encryption')
  } catch (cause) {
    throw new TenancyError(
      'TENANCY_CONFIG_PEER_MISSING',
      'Encrypted backups need the package age-encryption: npm install age-encryption',
      { cause },
    )
  }
}

const toWeb = (bytes: Readable) => Readable.toWeb(bytes) as unknown as ReadableStream<Uint8Array>
const fromWeb = (bytes: ReadableStream<Uint8Array>) => Readable.fromWeb(bytes)
