import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** A self-signed certificate and its key, as PEM. */
export interface SelfSigned {
  readonly cert: string
  readonly key: string
}

/** Makes a certificate for DNS names (RFC 5280): ECDSA with P-256, valid from yesterday to tomorrow. */
export function makeSelfSigned(...names: readonly string[]): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(der(0x06, Buffer.from('2a8648ce3d040302', 'hex')))
  const commonName = sequence(der(0x06, Buffer.from('550403', 'hex')), der(0x0c, Buffer.from(names[0] ?? 'test')))
  const name = sequence(der(0x31, commonName))
  const time = (days: number) => {
    const text = new Date(Date.now() + days * 86_400_000).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
    return der(0x18, Buffer.from(text))
  }
  const alternatives = sequence(...names.map((dns) => der(0x82, Buffer.from(dns))))
  const isAuthority = sequence(der(0x01, Buffer.of(0xff)))
  const extensions = sequence(
    sequence(der(0x06, Buffer.from('551d11', 'hex')), der(0x04, alternatives)),
    sequence(der(0x06, Buffer.from('551d13', 'hex')), der(0x01, Buffer.of(0xff)), der(0x04, isAuthority)),
  )
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.concat([Buffer.of(0x01), randomBytes(8)])),
    algorithm,
    name,
    sequence(time(-1), time(1)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  )
  const signature = der(0x03, Buffer.concat([Buffer.of(0), sign('sha256', toBeSigned, privateKey)]))
  const certificate = sequence(toBeSigned, algorithm, signature).toString('base64')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${certificate.replaceAll(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  }
}

const sequence = (...parts: readonly Buffer[]) => der(0x30, ...parts)

/** Tag, length, value (X.690). */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const value = Buffer.concat(parts)
  const { length } = value
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.of(tag, ...size), value])
}
