// Runs every static check and says which failed. `node scripts/check.js lint types` runs only those.
import { spawnSync } from 'node:child_process'

const checks = {
  format: ['oxfmt', '--check', '.'],
  // The examples and the benchmarks are typed by what the package ships.
  build: ['npm', 'run', '--silent', 'build'],
  lint: ['oxlint', '--type-aware', '--deny-warnings', '.'],
  types: ['tsc', '--noEmit'],
  unused: ['knip'],
  publint: ['publint', '--strict'],
  attw: ['attw', '--pack', '.', '--profile', 'esm-only'],
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !(name in checks))
if (unknown.length > 0) {
  console.error(`no such check: ${unknown.join(', ')} (there are: ${Object.keys(checks).join(', ')})`)
  process.exit(2)
}
const failed = []
for (const [name, [command, ...args]] of Object.entries(checks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const started = Date.now()
  const viaNpx = command === 'npm' ? [command, args] : ['npx', ['--no-install', command, ...args]]
  const result = spawnSync(...viaNpx, { encoding: 'utf8' })
  const ok = result.status === 0
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
  if (!ok) {
    failed.push(name)
    console.log([result.error?.message, result.stdout, result.stderr].filter(Boolean).join('\n'))
  }
}
if (failed.length > 0) {
  console.error(`checks failed: ${failed.join(', ')}`)
  process.exit(1)
}
