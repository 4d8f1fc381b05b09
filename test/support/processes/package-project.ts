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

/** A project of a user's own: the built package as npm installs it, and what it depends on. */
export class PackageProject {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 't2f-project-')))

  /**
   * @param packages what the project installs besides: peers and its own
   * @param without dependencies that are left out, to see that somebody notices
   */
  constructor(packages: readonly string[], without: readonly string[] = []) {
    if (!existsSync(join(repository, 'dist/index.js'))) throw new Error('The package is not built: npm run build')
    // A copy: from a link, packages would be found that the repository has and the project has not.
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
