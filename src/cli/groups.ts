import type { GroupDefinition } from './command.js'

/** The command line's first words, in the order of help. Help of the whole loads none of the commands. */
export const groups: readonly GroupDefinition[] = [
  { name: 'tenant', summary: 'Create, change, delete and restore tenants', load: () => import('./tenant/index.js') },
]
