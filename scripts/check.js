// Runs every static check, two at a time, and says which failed. `node scripts/check.js lint types` runs only those, on what was built
// last.
import { spawn } from 'node:child_process'

const npx = (...command) => ['npx', '--no-install', ...command]

/** What reads `dist/` waits for the build: examples and benchmarks are typed by what the package ships. */
const checks = {
  build: { command: ['npm', 'run', '--silent', 'build'] },
  format: { command: npx('oxfmt', '--check', '.') },
  layers: { command: ['node', 'scripts/layers.js'] },
  unused: { command: npx('knip') },
  lint: { command: npx('oxlint', '--type-aware', '--deny-warnings', '.'), needsBuild: true },
  types: { command: npx('tsc', '--noEmit'), needsBuild: true },
  api: { command: ['node', 'scripts/api-report.js'], needsBuild: true },
  attw: { command: npx('attw', '--pack', '.', '--profile', 'esm-only'), needsBuild: true },
  publint: { command: npx('publint', '--strict'), needsBuild: true },
}
const atOnce = 2
const startedAtMs = performance.now()

const secondsSince = (momentMs) => ((performance.now() - momentMs) / 1000).toFixed(1)

/** @returns {Promise<boolean>} whether it passed; its output is shown only if it did not */
async function passes(name, [file, ...args]) {
  const begunAtMs = performance.now()
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const output = []
  child.stdout.on('data', (chunk) => output.push(chunk))
  child.stderr.on('data', (chunk) => output.push(chunk))
  const error = await new Promise((resolve) => {
    child.once('error', (cause) => resolve(cause.message))
    child.once('close', (code, signal) => resolve(code === 0 ? undefined : `${file} ended with ${code ?? signal}`))
  })
  console.log(`${error === undefined ? 'ok  ' : 'FAIL'} ${name} (${secondsSince(begunAtMs)} s)`)
  if (error !== undefined) console.log(`${Buffer.concat(output).toString()}\n${error}`)
  return error === undefined
}

const given = process.argv.slice(2)
const unknown = given.filter((name) => !(name in checks))
if (unknown.length > 0) {
  console.error(`no such check: ${unknown.join(', ')} (there are: ${Object.keys(checks).join(', ')})`)
  process.exit(2)
}
const waiting = Object.keys(checks).filter((name) => given.length === 0 || given.includes(name))
const failed = []
let built = Promise.resolve(true)

async function work() {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const { command, needsBuild = false } = checks[name]
    if (needsBuild && !(await built)) {
      console.log(`skip ${name}: there is no build`)
      continue
    }
    const passed = passes(name, command)
    if (name === 'build') built = passed
    if (!(await passed)) failed.push(name)
  }
}

await Promise.all(Array.from({ length: atOnce }, work))
console.log(`${secondsSince(startedAtMs)} s in all`)
if (failed.length > 0) {
  console.error(`checks failed: ${failed.join(', ')}`)
  process.exit(1)
}
