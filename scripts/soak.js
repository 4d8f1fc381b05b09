// Runs the long tests, for minutes to hours: `npm run soak -- faults fleet isolation coherence layers members api`.
import { spawnSync } from 'node:child_process'

// By name: test files, and the environment that gives them many rounds.
const soaks = {
  faults: {
    files: ['test/faults/lifecycle.test.ts', 'test/faults/restart.test.ts'],
    env: { T2F_FAULT_RUNS: '500', T2F_FAULT_CONVERGE_MS: '30000', T2F_RECOVERY_MS: '2000' },
  },
  // Runners of migrations that are killed, two at a time, on a server that is full now and then.
  fleet: {
    files: ['test/faults/fleet-soak.test.ts'],
    env: { T2F_FLEET_RUNS: '100', T2F_FLEET_TENANTS: '200' },
  },
  isolation: { files: ['test/isolation/isolation.test.ts'], env: { T2F_SOAK_OPERATIONS: '1000000' } },
  coherence: {
    files: ['test/coherence/coherence.test.ts'],
    env: { T2F_COHERENCE_ROUNDS: '20', T2F_COHERENCE_STALENESS_MS: '2000', T2F_COHERENCE_HOLD_MS: '6000' },
  },
  // Requests of the management API, drawn from its document.
  api: { files: ['test/api/fuzz.test.ts'], env: { T2F_API_REQUESTS: '100000' } },
  // The isolation layers of roles and databases, and of connections whose request is aborted.
  layers: {
    files: ['test/isolation/tenant-roles.test.ts', 'test/isolation/aborts.test.ts'],
    env: { T2F_ROLE_TENANTS: '200', T2F_ABORT_ROUNDS: '10000' },
  },
  members: {
    files: ['test/catalog/members/races.test.ts', 'test/api/two-processes.test.ts'],
    env: { T2F_RACE_ROUNDS: '1000' },
  },
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !(name in soaks))
if (wanted.length === 0 || unknown.length > 0) {
  console.error(`usage: npm run soak -- <name>…, one of: ${Object.keys(soaks).join(', ')}`)
  process.exit(2)
}
for (const name of wanted) {
  const { files, env } = soaks[name]
  // Variables that are already set win: to repeat a run with its seed, or to shorten it.
  const options = { stdio: 'inherit', env: { ...env, ...process.env } }
  const { status } = spawnSync('npx', ['--no-install', 'vitest', 'run', ...files], options)
  if (status !== 0) process.exit(status ?? 1)
}
