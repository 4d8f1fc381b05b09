import type { GroupDefinition } from './command.js'

/** The command line's first words, in the order of help. Help of the whole loads none of the commands. */
export const groups: readonly GroupDefinition[] = [
  { name: 'tenant', summary: 'Create, change, delete and restore tenants', load: () => import('./tenant/index.js') },
  { name: 'init', summary: 'Start a project', load: () => import('./init/index.js'), isCommand: true },
  { name: 'dev', summary: 'Migrate on every change', load: () => import('./dev/index.js'), isCommand: true },
  { name: 'db', summary: 'Look into databases', load: () => import('./db/index.js') },
  { name: 'doctor', summary: 'Find what is wrong', load: () => import('./doctor/index.js'), isCommand: true },
  {
    name: 'completion',
    summary: 'Complete commands with the tab key',
    load: () => import('./completion/index.js'),
    isCommand: true,
  },
]
