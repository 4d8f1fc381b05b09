import type { GroupDefinition } from './command.js'

/** The command line's first words, in the order of help. Help of the whole loads none of the commands. */
export const groups: readonly GroupDefinition[] = [
  { name: 'tenant', summary: 'Create, change, delete and restore tenants', load: () => import('./tenant/index.js') },
  { name: 'member', summary: 'Add, list and remove members of a tenant', load: () => import('./member/index.js') },
  { name: 'user', summary: 'Create, list and disable users; issue tokens', load: () => import('./user/index.js') },
  { name: 'platform', summary: 'Say who may administer the installation', load: () => import('./platform/index.js') },
  {
    name: 'impersonation',
    summary: 'List and end administrators’ acting as a member',
    load: () => import('./impersonation/index.js'),
  },
  { name: 'export', summary: 'List and delete exports of tenants', load: () => import('./export/index.js') },
  { name: 'migrate', summary: 'Migrate tenant databases', load: () => import('./migrate/index.js') },
  { name: 'fleet', summary: 'Work on all tenant databases', load: () => import('./fleet/index.js') },
  { name: 'access', summary: 'List and explain who may do what', load: () => import('./access/index.js') },
  { name: 'audit', summary: 'List and verify the audit log', load: () => import('./audit/index.js') },
  { name: 'keys', summary: 'Rotate the keys that sign tokens', load: () => import('./keys/index.js') },
  {
    name: 'stats',
    summary: 'Show how much there is, and who is connected',
    load: () => import('./stats.js'),
    isCommand: true,
  },
  {
    name: 'init',
    summary: 'Start a project: settings, migrations, an application that runs',
    load: () => import('./init/index.js'),
    isCommand: true,
  },
  {
    name: 'dev',
    summary: 'Keep the server ready, and apply schema files as you save them',
    load: () => import('./dev/index.js'),
    isCommand: true,
  },
  {
    name: 'db',
    summary: 'Open psql in a tenant’s database; list and reconcile databases',
    load: () => import('./db/index.js'),
  },
  {
    name: 'doctor',
    summary: 'Find what is wrong, and say what to do about it',
    load: () => import('./doctor/index.js'),
    isCommand: true,
  },
  {
    name: 'completion',
    summary: 'Complete commands with the tab key',
    load: () => import('./completion/index.js'),
    isCommand: true,
  },
]
