import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { repository } from './node-process.js'

/** A project of a user: the built package as npm installs it, and its dependencies. */
export class PackageProject {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 't2f-project-')))

  /**
   * @param packages further packages that the project installs: peers and its own dependencies
   * @param without dependencies to leave out, to test that this is reported
   */
  constructor(packages: readonly string[], without: readonly string[] = []) {
    if (!existsSync(join(repository, 'dist/index.js'))) throw new Error('The package is not built: npm run build')
    // Copied: through a link, Node would also find packages of the repository that the project does not have.
    for (const entry of ['dist', 'package.json']) {
      cpSync(join(repository, entry), join(this.folder, 'node_modules/tenants2fast', entry), { recursive: true })
    }
    const { dependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    for (const name of [...Object.keys(dependencies), ...packages]) if (!without.includes(name)) this.#link(name)
    this.write('package.json', '{"private":true,"type":"module"}')
  }

  /** Writes a file of the project; returns its path. */
  write(file: string, text: string): string {
    const path = join(this.folder, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    return path
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #link(name: string): void {
    const path = join(this.folder, 'node_modules', name)
    mkdirSync(dirname(path), { recursive: true })
    symlinkSync(join(repository, 'node_modules', name), path)
  }
}
