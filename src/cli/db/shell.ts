import { defineCommand } from '../command.js'
import { tenantArgument } from '../tenant/tenant-argument.js'
import { withCatalog } from './open-catalog.js'
import type { ShellInput, ShellResult } from './open-shell.js'

export const shell = defineCommand<ShellInput, ShellResult>({
  name: 'shell',
  summary: 'Open psql in a tenant’s database',
  description:
    'The tenant’s role may read and change data. With --owner: the role that owns the application’s objects, as schema files ' +
    'run, which may change them. Neither reaches another database. psql gets what follows --. Each session is in the audit ' +
    'log. The password is in no list of processes.',
  arguments: [
    tenantArgument,
    { name: 'psqlArguments', description: 'for psql, after --', isVariadic: true, isOptional: true },
  ],
  options: [{ flags: '--owner', description: 'as the owner of the application’s objects' }],
  examples: [
    { command: 'db shell acme', says: 'psql in the database of acme' },
    { command: "db shell acme -- -c 'select count(*) from notes'", says: 'One statement' },
    { command: 'db shell acme -- -f report.sql -o report.txt', says: 'A file' },
  ],
  json: { tenant: 'string', database: 'string', psqlExitCode: 'number' },
  exitCodes: [3, 4],
  run: (context, input) =>
    withCatalog(context, async (access) => {
      const { openShell } = await import('./open-shell.js')
      return openShell(context, access, input)
    }),
  render: () => {},
  exitCode: ({ psqlExitCode }) => (psqlExitCode === 0 ? 0 : 1),
})
