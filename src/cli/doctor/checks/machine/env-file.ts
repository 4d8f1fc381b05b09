import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { chmod, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { parseEnv } from 'node:util'
import { settings } from '../../../../core/config/settings.js'
import { type Check, combine, type Finding, ok, problem, skipped, warning } from '../../check.js'

/** Nobody but its owner reads `.env`, and git does not have it. */
export const envFile: Check = {
  name: 'env-file',
  async run({ envFile: path, folder }) {
    const found = await stat(path).catch(() => undefined)
    if (found === undefined) return skipped('There is no .env here: the settings come from the environment')
    if (!holdsSecret(path)) return ok('.env holds no secret')
    const findings: Finding[] = []
    // Windows has other permissions, which Node does not show.
    if (process.platform !== 'win32' && (found.mode & 0o077) !== 0) {
      const mode = (found.mode & 0o777).toString(8)
      findings.push(
        problem(`.env holds secrets, and others on this machine may read it (mode ${mode})`, 'Run chmod 600 .env', {
          what: 'tightens the permissions of .env to 600',
          async apply() {
            await chmod(path, 0o600)
            return 'Set the permissions of .env to 600'
          },
        }),
      )
    }
    const git = await gitState(folder)
    if (git === 'tracked') {
      findings.push(
        problem(
          '.env holds secrets, and git has it',
          'Run git rm --cached .env, add it to .gitignore, and replace every secret in it: the history keeps the old ones',
        ),
      )
    }
    if (git === 'unignored') findings.push(warning('git does not ignore .env', 'Add the line .env to .gitignore'))
    return combine(findings, '.env is for its owner alone')
  },
}

function holdsSecret(path: string): boolean {
  try {
    const values = parseEnv(readFileSync(path, 'utf8'))
    return Object.entries(settings).some(
      ([name, setting]) => 'isSecret' in setting && setting.isSecret && (values[name] ?? '') !== '',
    )
  } catch {
    // Unreadable for us: who knows.
    return true
  }
}

const run = promisify(execFile)

/** Asks git; `none`: there is no git, or no work tree. */
async function gitState(folder: string): Promise<'tracked' | 'ignored' | 'unignored' | 'none'> {
  const git = (...args: string[]) =>
    run('git', args, { cwd: folder, timeout: 5000 }).then(
      () => true,
      () => false,
    )
  if (!(await git('rev-parse', '--is-inside-work-tree'))) return 'none'
  if (await git('ls-files', '--error-unmatch', '.env')) return 'tracked'
  return (await git('check-ignore', '-q', '.env')) ? 'ignored' : 'unignored'
}
