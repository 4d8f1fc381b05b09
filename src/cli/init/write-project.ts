import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { accessFile, appFile, demoDataFile, mainFile } from './starter/app.js'
import { configFile } from './starter/config-file.js'
import { environmentFile, ignoredByGit } from './starter/environment.js'
import { firstMigration } from './starter/migration.js'
import { packageFile, readmeFile } from './starter/package-file.js'
import { testFile } from './starter/test-file.js'

/** What is written where. */
export interface ProjectOptions {
  readonly folder: string
  /** Name of the application: a package name. */
  readonly name: string
  /** Address of the PostgreSQL server, for `.env`; undefined: the embedded one. */
  readonly databaseUrl: string | undefined
  /** Whether to write the starter application, too. */
  readonly hasApp: boolean
  /** Version of tenants2fast. */
  readonly version: string
}

/** What became of each file, by its path in the folder. */
export interface WrittenProject {
  readonly written: readonly string[]
  /** Files that got lines that they lacked. */
  readonly extended: readonly string[]
  /** Files that were there already, and are as they were. */
  readonly skipped: readonly string[]
}

interface ProjectFile {
  readonly path: string
  readonly content: string
  readonly mode?: number
}

/**
 * Writes a project. A file that exists is never changed, except that `.gitignore` gets the lines that it lacks. Running it
 * again writes what is missing: `package.json`, which says that a project is there, comes last.
 */
export async function writeProject(options: ProjectOptions): Promise<WrittenProject> {
  const { folder } = options
  await mkdir(folder, { recursive: true })
  const written: string[] = []
  const skipped: string[] = []
  // Before the secret: no moment in which git would take it.
  const ignore = await extendGitignore(join(folder, '.gitignore'))
  for (const file of filesOf(options)) {
    const list = (await writeNew(folder, file)) ? written : skipped
    list.push(file.path)
  }
  return {
    written: [...(ignore === 'written' ? ['.gitignore'] : []), ...written],
    extended: ignore === 'extended' ? ['.gitignore'] : [],
    skipped: [...(ignore === 'complete' ? ['.gitignore'] : []), ...skipped],
  }
}

function filesOf({ name, databaseUrl, hasApp, version }: ProjectOptions): readonly ProjectFile[] {
  const identifier = identifierOf(name)
  return [
    { path: '.env', content: environmentFile({ databaseUrl }), mode: 0o600 },
    { path: 'migrations/0001_notes.sql', content: firstMigration },
    { path: 'tenants2fast.config.ts', content: configFile({ hasApp }) },
    ...(hasApp
      ? [
          { path: 'access.js', content: accessFile },
          { path: 'app.js', content: appFile },
          { path: 'demo-data.js', content: demoDataFile },
          { path: 'main.js', content: mainFile },
          { path: 'test/app.test.js', content: testFile(identifier) },
          { path: 'README.md', content: readmeFile(name) },
          { path: 'package.json', content: packageFile({ name, version }) },
        ]
      : []),
  ]
}

/** Writes a file that is not there; false: it is. */
async function writeNew(folder: string, { path, content, mode = 0o666 }: ProjectFile): Promise<boolean> {
  const target = join(folder, path)
  await mkdir(dirname(target), { recursive: true })
  try {
    await writeFile(target, content, { flag: 'wx', mode })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  // A umask may have taken bits away that a secret file needs, never added some.
  if (mode === 0o600) await chmod(target, mode)
  return true
}

async function extendGitignore(path: string): Promise<'written' | 'extended' | 'complete'> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) {
    await writeFile(path, `${ignoredByGit.join('\n')}\n`)
    return 'written'
  }
  const lines = new Set(text.split(/\r?\n/).map((line) => line.trim().replace(/^\/|\/$/g, '')))
  const missing = ignoredByGit.filter((line) => !lines.has(line.replace(/\/$/, '')))
  if (missing.length === 0) return 'complete'
  await writeFile(path, `${text === '' || text.endsWith('\n') ? '' : '\n'}${missing.join('\n')}\n`, { flag: 'a' })
  return 'extended'
}

/** A name for databases: a letter first, then a-z, 0-9 and _. */
function identifierOf(name: string): string {
  const text = name
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replace(/_+$/, '')
  return text === '' ? 'app' : text
}

/** A package name from a folder's: lower case, without what npm refuses. */
export function packageNameOf(folderName: string): string {
  const name = folderName
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 100)
  return name === '' ? 'tenants2fast-app' : name
}
