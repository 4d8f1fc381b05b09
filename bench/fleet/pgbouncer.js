// PgBouncer for a benchmark, if it is installed.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort } from '../../dist/databases/embedded/postmaster.js'
import { scramVerifier } from '../../dist/databases/server/role-password.js'

const user = 'bench_pgbouncer'

export function hasPgBouncer() {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/**
 * Set up for speed: no password between application and pooler, the cheap SCRAM verifier between pooler and server, and
 * no reset between transactions.
 *
 * @param {import('./fleet.js').Fleet} fleet @param {number} connections
 */
export async function startPgBouncer({ admin, server }, connections) {
  const password = 'for-the-benchmark-only'
  await admin.query(`drop role if exists ${user}`)
  await admin.query(`create role ${user} superuser login password '${scramVerifier(password)}'`)
  const folder = mkdtempSync(join(tmpdir(), 't2f-bench-pgbouncer-'))
  const port = await findFreePort()
  const files = { users: join(folder, 'users.txt'), config: join(folder, 'pgbouncer.ini') }
  writeFileSync(files.users, `"${user}" "${password}"\n`)
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: files.users,
    pool_mode: 'transaction',
    default_pool_size: 5,
    max_user_connections: connections,
    max_client_conn: 10_000,
    server_idle_timeout: 600,
    log_connections: 0,
    log_disconnections: 0,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  writeFileSync(
    files.config,
    `[databases]\n* = host=${server.host} port=${server.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  )
  chmodSync(folder, 0o755)
  // It refuses to run as root.
  const identity = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const child = spawn('pgbouncer', ['-q', files.config], { stdio: 'ignore', cwd: '/', ...identity })
  const exited = once(child, 'exit')
  for (let attempt = 0; attempt < 250 && !(await listens(port)); attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    port,
    user,
    async stop() {
      child.kill('SIGTERM')
      await exited
      rmSync(folder, { recursive: true, force: true })
      await admin.query(`drop role if exists ${user}`)
    },
  }
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}
