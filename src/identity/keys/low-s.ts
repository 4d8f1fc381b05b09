// Order of the curve P-256 (FIPS 186-4, D.1.2.3).
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** Whether the second half of an ES256 signature (RFC 7518, 3.4) is in the lower half of its range. */
export function isLowS(signature: Buffer): boolean {
  return readS(signature) <= order / 2n
}

/**
 * The lower one of the two ES256 signatures that verify alike. Signing only with this one, and accepting only this
 * one, leaves a token a single text.
 */
export function toLowS(signature: Buffer): Buffer {
  if (isLowS(signature)) return signature
  const s = (order - readS(signature)).toString(16).padStart(64, '0')
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s, 'hex')])
}

function readS(signature: Buffer): bigint {
  return BigInt(`0x0${signature.subarray(32).toString('hex')}`)
}
