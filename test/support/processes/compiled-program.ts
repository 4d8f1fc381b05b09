import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** A TypeScript program of the tests, and its imports from `src`, compiled by tsc into a temp folder for child processes. */
export class CompiledProgram {
  readonly folder = mkdtempSync(join(tmpdir(), 't2f-program-'))
  /** The compiled file. */
  readonly path: string

  /** @param file path of the program from the root of the repository */
  constructor(file: string) {
    chmodSync(this.folder, 0o755)
    const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
    const options = [
      '--ignoreConfig',
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--lib',
      'es2023',
      '--types',
      'node',
    ]
    execFileSync(
      process.execPath,
      [tsc, '--outDir', this.folder, '--rootDir', root, ...options, '--skipLibCheck', join(root, file)],
      { cwd: root, stdio: 'inherit' },
    )
    const migrations = 'src/catalog/migrations'
    cpSync(join(root, migrations), join(this.folder, migrations), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'))
    writeFileSync(join(this.folder, 'package.json'), '{"type":"module"}')
    this.path = join(this.folder, file.replace(/\.ts$/, '.js'))
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
