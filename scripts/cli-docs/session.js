// A session at the command line, for docs/cli.md: every command, in an order that makes sense, on an embedded server.
import { spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { startEmbeddedServer } from '../../dist/databases/embedded/supervisor.js'
import { loadConfig } from '../../dist/index.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/** Lines of the session; a function is something that happens in between. */
const session = [
  'user create dana@example.com --name Dana --verified',
  'user create eve@example.com --name Eve --verified',
  'user list',
  'tenant create acme --owner dana@example.com --name "Acme Ltd"',
  'tenant create globex --owner dana@example.com',
  'tenant list',
  'tenant show acme',
  'tenant update acme --max-users 25',
  'tenant rename globex initech',
  'member add acme eve@example.com',
  'member list acme',
  'member role acme eve@example.com --add Admin --remove Member',
  'access explain acme eve@example.com notes:create',
  'access list --tenant acme',
  'platform grant dana@example.com',
  'platform list',
  'platform revoke dana@example.com',
  'migrate new add_colour',
  (/** @type {string} */ folder) =>
    appendFileSync(join(folder, 'migrations/0002_add_colour.sql'), 'alter table notes add column colour text;\n'),
  'migrate status',
  'migrate up --canary 1',
  'tenant suspend initech',
  'tenant activate initech',
  'tenant delete initech --yes',
  'tenant undelete initech',
  'tenant delete initech --yes',
  'tenant purge initech --yes',
  changeByHand,
  'fleet check',
  'keys rotate',
  'user token eve@example.com',
  'user disable eve@example.com',
  'user enable eve@example.com',
  'member remove acme eve@example.com --yes',
  'audit list --tenant acme --limit 3',
  'audit verify',
  'stats',
]

/** Adds an index to a tenant's database, as an administrator with psql would. */
async function changeByHand() {
  const server = await startEmbeddedServer({ dataDir: loadConfig().dataDir })
  /** @param {string} database @param {string} text @param {unknown[]} [values] */
  const query = async (database, text, values) => {
    const client = new pg.Client({ ...server.account, ssl: false, database })
    await client.connect()
    try {
      return await client.query(text, values)
    } finally {
      await client.end()
    }
  }
  try {
    const { rows } = await query(
      loadConfig().catalogDatabase,
      'select database.name from tenant_databases as database join tenants on database_id = database.id where slug = $1',
      ['acme'],
    )
    await query(rows[0].name, 'create index by_hand on notes (body)')
  } finally {
    await server.stop()
  }
}

/** Runs the session. @returns {Promise<{ command: string, output: string }[]>} */
export async function record() {
  const folder = mkdtempSync(join(tmpdir(), 't2f-session-'))
  const start = process.cwd()
  try {
    mkdirSync(join(folder, 'migrations'))
    writeFileSync(
      join(folder, 'migrations/0001_notes.sql'),
      'create table notes (id int primary key, body text not null);\n',
    )
    writeFileSync(join(folder, '.env'), 'TENANT_SCHEMA_DIR=migrations\nTENANT_READY_DATABASES=0\n')
    process.chdir(folder)
    const runs = []
    for (const step of session) {
      if (typeof step === 'function') await Promise.resolve(step(folder))
      else runs.push({ command: step, output: runInTerminal(step, folder) })
    }
    return runs
  } finally {
    process.chdir(start)
    rmSync(folder, { recursive: true })
  }
}

/** Runs a command in a terminal of 100 columns, by `script` of util-linux. @param {string} words @param {string} cwd */
function runInTerminal(words, cwd) {
  const { stdout, status, error } = spawnSync(
    'script',
    ['-qec', `stty cols 100; exec ${process.execPath} ${program} ${words}`, '/dev/null'],
    {
      cwd,
      env: { ...process.env, NO_COLOR: '1', TERM: 'xterm' },
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
    },
  )
  if (error) throw error
  console.log(`${status} ${words}`)
  // A token is somebody's key, also that of a server that is gone.
  return withoutProgress(stdout)
    .replaceAll('\r\n', '\n')
    .replaceAll(/eyJ[\w-]{20}[\w.-]+/g, (token) => `${token.slice(0, 24)}…`)
}

/**
 * The progress bar is drawn between "save cursor" and "restore cursor", and erased at the end: a reader of a page has no terminal.
 *
 * @param {string} text
 */
function withoutProgress(text) {
  const escape = String.fromCodePoint(27)
  return text
    .split(`${escape}7`)
    .map((part, index) => (index === 0 ? part : (part.split(`${escape}[2K`).at(-1) ?? '')))
    .join('')
}
