import { type AnyCommand, defineCommand } from '../command.js'
import { renderSummary } from './render.js'
import type { Diagnosis } from './run-checks.js'

interface Input {
  readonly deep?: boolean
  readonly fix?: boolean
  readonly only?: readonly string[]
}

const doctor = defineCommand<Input, Diagnosis>({
  name: 'doctor',
  summary: 'Find what is wrong, and say what to do about it',
  description:
    'Looks at settings, packages, secrets, the server and its privileges, limits and logs, the catalog, templates, leases and ' +
    'orphans, tenants that are behind, Redis, mail, the pooler and clocks. Changes nothing without --fix. Shows no secret. A ' +
    'check that fails or hangs is a result; what needs a server that is down is skipped.',
  options: [
    { flags: '--deep', description: 'look into every tenant database, too: compare its structure with the template' },
    {
      flags: '--fix',
      description:
        'repair what is safe: apply migrations of the catalog, finish work of dead processes (reconcile), restore ' +
        'privileges of tenants’ roles, tighten the permissions of .env',
    },
    { flags: '--only NAME', description: 'this check alone; may be given more than once', isRepeatable: true },
  ],
  examples: [
    { command: 'doctor', says: 'Look at everything but the insides of tenant databases' },
    { command: 'doctor --fix', says: 'The same, and repair what is safe' },
    { command: 'doctor --json | jq -r \'.checks[] | select(.status == "problem") | .what\'', says: 'Problems alone' },
  ],
  json: {
    status: "'ok' | 'warning' | 'problem'",
    counts: { ok: 'number', warning: 'number', problem: 'number', skipped: 'number' },
    checks: [
      {
        name: 'string',
        status: "'ok' | 'warning' | 'problem' | 'skipped'",
        what: 'string',
        'advice?': 'string',
        'fix?': 'string',
        'fixed?': 'string',
        durationMs: 'number',
      },
    ],
  },
  async run(context, { deep = false, fix = false, only }) {
    const { diagnose } = await import('./diagnose.js')
    return diagnose(context, { isDeep: deep, fix, only })
  },
  render: renderSummary,
  exitCode: ({ status }) => (status === 'problem' ? 1 : 0),
})

export const commands: readonly AnyCommand[] = [doctor]
