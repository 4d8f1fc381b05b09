// A session at the command line, for docs/cli.md: every command, in an order that makes sense, on an embedded server.
import { spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { startEmbeddedServer } from '../../dist/databases/embedded/supervisor.js'
import { createTenancy, loadConfig } from '../../dist/index.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/** What the application does in the session, where a command is about that. */
let impersonation = ''
let tenantExport = ''

/**
 * Lines of the session; a function is something that happens in between, or gives a line that has an id.
 *
 * @type {readonly (string | ((folder: string) => unknown))[]}
 */
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
  () =>
    inApplication({}, async (tenancy) => {
      const [dana, eve] = await Promise.all(
        ['dana', 'eve'].map((name) => tenancy.findUserByEmail(`${name}@example.com`)),
      )
      const acting = { tenant: 'acme', user: eve?.id ?? '', actor: dana?.id ?? '', reason: 'Ticket 4711', minutes: 15 }
      impersonation = (await tenancy.startImpersonation(acting)).impersonation.id
    }),
  'impersonation list acme',
  () => `impersonation end acme ${impersonation}`,
  'platform revoke dana@example.com',
  'tenant labels acme --add beta --add europe',
  'migrate new add_colour --down',
  (folder) => {
    appendFileSync(join(folder, 'migrations/0002_add_colour.sql'), 'alter table notes add column colour text;\n')
    appendFileSync(join(folder, 'migrations/0002_add_colour.down.sql'), 'alter table notes drop column colour;\n')
    writeFileSync(join(folder, 'migrations/0003_by_body.sql'), 'create index notes_body on notes (body);\n')
  },
  'migrate lint --since 0002_add_colour.sql',
  (folder) => rmSync(join(folder, 'migrations/0003_by_body.sql')),
  'migrate status',
  'migrate rehearse',
  'migrate up --canary 1',
  'migrate down --yes',
  'migrate up',
  (folder) => {
    const file = join(folder, 'migrations/0001_notes.sql')
    writeFileSync(file, `-- Notes of a tenant\n${readFileSync(file, 'utf8')}`)
  },
  'migrate accept 0001_notes.sql --yes',
  'fleet seed --profile dev',
  'fleet exec "select count(*) as notes, max(body) as newest from notes"',
  'tenant backup acme --to backups/acme',
  (folder) =>
    inApplication({ exports: { folder: 'exports' } }, async (tenancy) => {
      writeFileSync(join(folder, 'tenants2fast.config.mjs'), "export default { exports: { folder: 'exports' } }\n")
      const owner = await tenancy.findUserByEmail('dana@example.com')
      tenantExport = (await tenancy.startTenantExport({ tenant: 'acme', actor: owner?.id })).id
      const state = async () => (await tenancy.getTenantExport({ tenant: 'acme', export: tenantExport })).state
      while ((await state()) !== 'ready') await sleep(50)
    }),
  'export list acme',
  () => `export delete acme ${tenantExport} --yes`,
  (folder) => rmSync(join(folder, 'tenants2fast.config.mjs')),
  'tenant restore backups/acme --tenant acme --yes',
  'tenant swap-back acme --yes',
  () => onServer((query) => query('postgres', 'create database legacy')),
  'tenant adopt legacy --slug legacy --owner dana@example.com --schema none --yes',
  'tenant suspend initech',
  'tenant activate initech',
  'tenant delete initech --yes',
  'tenant undelete initech',
  'tenant delete initech --yes',
  'tenant purge initech --yes',
  () =>
    onServer(async (query) => {
      const { rows } = await query(
        loadConfig().catalogDatabase,
        'select database.name from tenant_databases as database join tenants on database_id = database.id where slug = $1',
        ['acme'],
      )
      // As an administrator with psql would.
      await query(rows[0].name, 'create index by_hand on notes (body)')
    }),
  'fleet check',
  'db list',
  'db shell acme -- -c "select count(*) from notes"',
  'db activity',
  'db reconcile',
  'doctor',
  'init my-app --yes',
  'keys rotate',
  'user token eve@example.com',
  'user disable eve@example.com',
  'user enable eve@example.com',
  'member remove acme eve@example.com --yes',
  'audit list --tenant acme --limit 3',
  'audit verify',
  'stats',
]

/**
 * Works on the server of the session as its administrator.
 *
 * @param {(query: (database: string, text: string, values?: unknown[]) => Promise<pg.QueryResult>) => Promise<unknown>} work
 */
async function onServer(work) {
  const server = await startEmbeddedServer({ dataDir: loadConfig().dataDir })
  try {
    await work(async (database, text, values = []) => {
      const client = new pg.Client({ ...server.account, ssl: false, database })
      await client.connect()
      try {
        return await client.query(text, values)
      } finally {
        await client.end()
      }
    })
  } finally {
    await server.stop()
  }
}

/**
 * Does what a process of the application does.
 *
 * @param {import('../../dist/index.js').CreateTenancyOptions} options
 * @param {(tenancy: import('../../dist/index.js').Tenancy) => Promise<unknown>} work
 */
async function inApplication(options, work) {
  const tenancy = await createTenancy(options)
  try {
    await work(tenancy)
  } finally {
    await tenancy.close()
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
    mkdirSync(join(folder, 'backups'))
    mkdirSync(join(folder, 'seeds/dev'), { recursive: true })
    writeFileSync(
      join(folder, 'seeds/dev/notes.sql'),
      "insert into notes (id, body) values (1, 'Welcome') on conflict do nothing;\n",
    )
    writeFileSync(
      join(folder, '.env'),
      'TENANT_SCHEMA_DIR=migrations\nTENANT_SEED_DIR=seeds\nTENANT_SCHEMA_BEHIND=serve\nTENANT_READY_DATABASES=0\n',
      { mode: 0o600 },
    )
    // What an application has installed.
    symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(folder, 'node_modules'))
    process.chdir(folder)
    const runs = []
    for (const step of session) {
      const command = typeof step === 'function' ? await step(folder) : step
      if (typeof command === 'string') runs.push({ command, output: runInTerminal(command, folder) })
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
    ['-qec', `stty cols 100 rows 40; exec ${process.execPath} ${program} ${words}`, '/dev/null'],
    {
      cwd,
      env: { ...process.env, NO_COLOR: '1', TERM: 'xterm', PAGER: 'cat' },
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
