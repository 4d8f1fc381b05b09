import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repository } from '../../support/processes/node-process.js'

const migrations = ':(glob)src/catalog/migrations/*.sql'

/** The last commit before the last change of the migrations, or what is missing here to find it. */
export type PreviousCommit = { readonly commit: string } | { readonly needs: string }

/**
 * Finds the last version with an older catalog than this one: HEAD while a change of the migrations is not committed,
 * otherwise the first parent of the commit that brought the last change to this branch.
 */
export function findPreviousCommit(): PreviousCommit {
  let top: string
  try {
    top = git('rev-parse', '--show-toplevel')
  } catch {
    return { needs: 'a git clone of this repository' }
  }
  if (realpathSync(top) !== realpathSync(repository)) return { needs: 'a git clone of this repository' }
  if (git('status', '--porcelain', '--', migrations) !== '') return { commit: git('rev-parse', 'HEAD') }
  const lastChange = git('rev-list', '-1', '--first-parent', 'HEAD', '--', migrations)
  try {
    return { commit: git('rev-parse', '--verify', '--quiet', `${lastChange}^`) }
  } catch {
    return { needs: 'the history of this clone: run git fetch --unshallow, or check out with fetch-depth: 0' }
  }
}

/** Checks out a commit into a folder and builds it with its own script and the packages that are installed here. */
export class BuiltCommit {
  readonly folder = mkdtempSync(join(tmpdir(), 't2f-previous-'))

  constructor(commit: string) {
    try {
      chmodSync(this.folder, 0o755)
      const archive = join(this.folder, 'commit.tar')
      git('archive', '--format=tar', '--output', archive, commit)
      execFileSync('tar', ['-xf', archive, '-C', this.folder])
      symlinkSync(join(repository, 'node_modules'), join(this.folder, 'node_modules'))
      execFileSync(process.execPath, ['scripts/build.js'], { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] })
    } catch (error) {
      this.remove()
      throw error
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: repository, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
}
