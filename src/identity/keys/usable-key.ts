import { createPublicKey } from 'node:crypto'

const kinds = ['RSA', 'EC', 'OKP']

/**
 * Says what is wrong with a key that an issuer publishes, or undefined. The key must be a public key without its private
 * part, readable on this machine. An RSA key needs 2048 bits or more and an odd exponent of at least 3, and must not be one
 * whose factors can be guessed (ROCA, CVE-2017-15361).
 */
export function problemOfKey(jwk: object): string | undefined {
  const { kty } = jwk as { kty?: unknown }
  if (typeof kty !== 'string' || !kinds.includes(kty)) return 'is not asymmetric'
  if ('d' in jwk) return 'comes with its private part'
  let modulus: bigint
  try {
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
    if (kty !== 'RSA') return undefined
    const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
    if (modulusLength < 2048) return `has ${modulusLength} bits`
    if (publicExponent < 3n || publicExponent % 2n === 0n) return `has the exponent ${publicExponent}`
    modulus = BigInt(`0x${Buffer.from(String(key.export({ format: 'jwk' }).n), 'base64url').toString('hex')}`)
  } catch {
    return 'is not readable'
  }
  return hasRocaFingerprint(modulus) ? 'is guessable (CVE-2017-15361)' : undefined
}

// Nemec et al., "The Return of Coppersmith's Attack" (CCS 2017), 3.3: the faulty generator's primes are powers of 65537
// modulo each small prime, hence so is the modulus. A sound key is so modulo all of these with a chance below 1 in 10^8.
const powersOf65537 = smallPrimes(167).map((prime) => ({ prime: BigInt(prime), powers: powersModulo(65_537, prime) }))

function hasRocaFingerprint(modulus: bigint): boolean {
  return powersOf65537.every(({ prime, powers }) => powers.has(Number(modulus % prime)))
}

function powersModulo(base: number, prime: number): ReadonlySet<number> {
  const powers = new Set<number>()
  for (let power = 1; !powers.has(power); power = (power * base) % prime) powers.add(power)
  return powers
}

function smallPrimes(most: number): number[] {
  const primes: number[] = []
  for (let number = 3; number <= most; number += 2)
    if (primes.every((prime) => number % prime !== 0)) primes.push(number)
  return primes
}
