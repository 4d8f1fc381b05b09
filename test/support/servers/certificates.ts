import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Whether there is an `openssl` to make certificates with. */
export const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

/** A certificate authority of a test's own. */
export class TestAuthority {
  readonly folder = mkdtempSync(join(tmpdir(), 't2f-ca-'))
  /** The root certificate, PEM. */
  readonly certificate = join(this.folder, 'ca.pem')

  constructor() {
    chmodSync(this.folder, 0o755)
    const key = join(this.folder, 'ca.key')
    this.#openssl(
      'req',
      '-x509',
      '-subj',
      '/CN=Test authority',
      '-days',
      '2',
      ...newKey,
      '-keyout',
      key,
      '-out',
      this.certificate,
    )
  }

  /** A server's key and certificate for these names, such as `DNS:localhost`. */
  issue(name: string, alternativeNames: string): { key: string; certificate: string } {
    const at = (extension: string) => join(this.folder, `${name}.${extension}`)
    this.#openssl('req', '-subj', `/CN=${name}`, ...newKey, '-keyout', at('key'), '-out', at('csr'))
    writeFileSync(at('ext'), `subjectAltName=${alternativeNames}\n`)
    const authority = ['-CA', this.certificate, '-CAkey', join(this.folder, 'ca.key'), '-CAcreateserial']
    this.#openssl(
      'x509',
      '-req',
      '-in',
      at('csr'),
      ...authority,
      '-days',
      '2',
      '-extfile',
      at('ext'),
      '-out',
      at('pem'),
    )
    chmodSync(at('pem'), 0o644)
    return { key: at('key'), certificate: at('pem') }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true })
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  }
}

const newKey = ['-newkey', 'rsa:2048', '-nodes', '-sha256']
