import { type AnyCommand, defineCommand } from '../command.js'
import type { ProjectResult } from './init-project.js'

interface Input {
  readonly folder?: string
  readonly bare?: boolean
}

const init = defineCommand<Input, ProjectResult>({
  name: 'init',
  summary: 'Start a project: settings, a migrations folder, an application that runs',
  description:
    'Writes .env with a fresh secret (for you alone, and ignored by git), migrations/0001_notes.sql, tenants2fast.config.ts, and, ' +
    'where there is no package.json yet, an application on Fastify with a test. Asks first; --yes takes the defaults. Never ' +
    'changes a file that exists, but for lines that .gitignore lacks; running it again writes what is missing.',
  arguments: [{ name: 'folder', description: 'where (default: this folder)', isOptional: true }],
  options: [
    { flags: '--yes', description: 'do not ask: the embedded PostgreSQL, and the application where there is none' },
    { flags: '--bare', description: 'settings, migrations and configuration file only, no application' },
  ],
  examples: [
    { command: 'init my-app', says: 'Asks a few questions, then writes the project' },
    { command: 'init my-app --yes && cd my-app && npm install && npm start', says: 'From nothing to two tenants' },
    { command: 'init --bare', says: 'In an application that exists' },
  ],
  json: { folder: 'string', written: ['string'], extended: ['string'], skipped: ['string'], next: ['string'] },
  exitCodes: [4],
  async run(context, input) {
    const { initProject } = await import('./init-project.js')
    return initProject(context, input)
  },
  render({ folder, written, extended, skipped, next }, page) {
    for (const path of written) page.pieces({ text: 'written   ', style: 'green' }, path)
    for (const path of extended) page.pieces({ text: 'extended  ', style: 'green' }, path)
    for (const path of skipped)
      page.pieces({ text: 'skipped   ', style: 'dim' }, `${path} (it is there, and stays as it is)`)
    page.line()
    page.line(written.length === 0 ? `Nothing was missing in ${folder}.` : `Next, in ${folder}:`)
    if (written.length > 0) for (const line of next) page.line(`  ${line}`)
  },
})

export const commands: readonly AnyCommand[] = [init]
