// Order of the curve P-256 (FIPS 186-4, D.1.2.3).
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** Tells whether the second half of an ES256 signature (RFC 7518, 3.4) is in the lower half of its range. */
export function isLowS(signature: Buffer): boolean {
  return readS(signature) <= order / 2n
}

/**
 * Gives the lower one of the two equivalent ES256 signatures. As only this one is issued and accepted, a token has exactly one
 * text.
 */
export function toLowS(signature: Buffer): Buffer {
  if (isLowS(signature)) return signature
  const s = (order - readS(signature)).toString(16).padStart(64, '0')
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s, 'hex')])
}

function readS(signature: Buffer): bigint {
  return BigInt(`0x0${signature.subarray(32).toString('hex')}`)
}
