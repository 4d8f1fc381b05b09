// Starts the quick start as a newcomer does, runs the curl lines that it prints, checks what they answer, stops it
// with SIGINT, and starts it again to find the data.
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const expected = [
  { status: 200, contains: '"slug":"acme"' },
  { status: 200, contains: 'dana@example.com' },
  { status: 403, contains: 'TENANCY_ACCESS_DENIED' },
  { status: 200, contains: 'Acme Corporation' },
  { status: 200, contains: 'The first note of Globex' },
  { status: 403, contains: 'TENANCY_TENANT_FORBIDDEN' },
]

const dataDir = mkdtempSync(join(tmpdir(), 'quick-start-'))
// A port of the system's choice, and none of this shell's settings.
const env = { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0', TENANT_DATA_DIR: dataDir }

/** @returns {Promise<{ output: string, stop: () => Promise<number | null> }>} */
function start() {
  const child = spawn(process.execPath, ['examples/quick-start/main.js'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  return new Promise((resolve, reject) => {
    let output = ''
    const exited = new Promise((done) => child.once('exit', done))
    void exited.then((code) => reject(new Error(`the quick start ended with ${code}:\n${output}`)))
    child.stdout.on('data', (chunk) => {
      output += chunk
      if (!output.includes('Ctrl-C stops it')) return
      resolve({
        output,
        stop: () => {
          child.kill('SIGINT')
          return exited
        },
      })
    })
  })
}

function check(condition, message) {
  if (!condition) throw new Error(message)
}

function postgresProcesses() {
  const list = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
  return list.split('\n').filter((line) => line.includes(dataDir) && line.includes('postgres'))
}

try {
  for (const round of ['first start', 'second start']) {
    const { output, stop } = await start()
    const commands = output.split('\n').filter((line) => line.startsWith('curl '))
    check(commands.length === expected.length, `${commands.length} curl lines, not ${expected.length}`)
    for (const [index, command] of commands.entries()) {
      const answer = execFileSync('sh', ['-c', command], { encoding: 'utf8' })
      const { status, contains } = expected[index]
      const shown = command.replace(/Bearer [^']+/, 'Bearer …')
      check(
        answer.trimEnd().endsWith(String(status)) && answer.includes(contains),
        `${round}: ${shown}\nanswered ${answer}`,
      )
    }
    if (round === 'first start') {
      const post = commands[3].replace(
        'curl ',
        `curl -X POST -H 'Content-Type: application/json' -d '{"body":"kept"}' `,
      )
      check(
        execFileSync('sh', ['-c', post], { encoding: 'utf8' }).trimEnd().endsWith('201'),
        'a note could not be written',
      )
    } else {
      const notes = execFileSync('sh', ['-c', commands[3]], { encoding: 'utf8' })
      check(notes.includes('"kept"'), 'the second start did not find the note of the first')
    }
    const [address] = /http:\/\/127\.0\.0\.1:\d+/.exec(output) ?? []
    const metrics = await (await fetch(`${address}/metrics`)).text()
    check(/^tenants2fast_connections_opened_total [1-9]/m.test(metrics), `${round}: /metrics answered ${metrics}`)
    check(!metrics.includes('acme'), `${round}: /metrics names a tenant`)
    const code = await stop()
    check(code === 0, `${round}: exit code ${code}`)
    check(postgresProcesses().length === 0, `${round}: processes left: ${postgresProcesses().join('\n')}`)
    console.log(`ok   ${round}: ${commands.length} curl lines, stopped clean`)
  }
} finally {
  rmSync(dataDir, { recursive: true, force: true })
}
