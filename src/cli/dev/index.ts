import { type AnyCommand, defineCommand } from '../command.js'
import type { DevInput, DevResult } from './run-dev.js'

const dev = defineCommand<DevInput, DevResult>({
  name: 'dev',
  summary: 'Keep the server ready, and apply schema files as you save them',
  description:
    'Starts the embedded PostgreSQL, or uses the configured server; migrates the catalog; applies the files that tenants lack, ' +
    'now and on each change of the folder, until Ctrl-C. A file that fails is shown and changes nothing. Applications that run ' +
    'beside it use the same server. For development: refused where NODE_ENV is production.',
  options: [
    { flags: '--token', description: 'print a token, alone on standard output; the key t prints another one' },
    {
      flags: '--user EMAIL',
      description: 'whom tokens are for (default: dev@example.com, who is made, with a tenant demo if there is none)',
    },
  ],
  examples: [
    { command: 'dev', says: 'In one terminal, with npm start in another' },
    { command: 'dev --token --user dana@example.com', says: 'With a token for a user who exists' },
  ],
  json: { runs: 'number', failures: 'number' },
  exitCodes: [3],
  async run(context, input) {
    const { runDev } = await import('./run-dev.js')
    return runDev(context, input)
  },
  render: () => {},
})

export const commands: readonly AnyCommand[] = [dev]
