import type { Permission, Role, RouteRule } from '../../index.js'
import { defineCommand } from '../command.js'

interface Input {
  readonly tenant?: string
}

interface Result {
  readonly permissions: readonly Permission[]
  readonly roles: readonly Role[]
  readonly rules: readonly RouteRule[]
}

export const listAccess = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List permissions, roles and route rules',
  options: [
    { flags: '--tenant TENANT', description: 'slug or id: with the roles of this tenant (default: built-in ones)' },
  ],
  examples: [
    { command: 'access list', says: 'What the installation has' },
    { command: 'access list --tenant acme --json', says: 'With the roles of a tenant, for a program' },
  ],
  json: {
    permissions: [
      { name: 'string', description: 'string', category: 'string | null', isActive: 'boolean', isSystem: 'boolean' },
    ],
    roles: [
      {
        id: 'string',
        tenantId: 'string | null',
        name: 'string',
        description: 'string',
        isActive: 'boolean',
        isSystem: 'boolean',
        version: 'string',
        permissions: ['string'],
        includes: ['string'],
      },
    ],
    rules: [{ method: 'string', path: 'string', permission: 'string', isActive: 'boolean', isSystem: 'boolean' }],
  },
  exitCodes: [3],
  async run(context, { tenant = null }) {
    const { tenancy } = await context.open()
    const [permissions, roles, rules] = await Promise.all([
      tenancy.access.listPermissions(),
      tenancy.access.listRoles({ tenant }),
      tenancy.access.listRouteRules(),
    ])
    return { permissions, roles, rules }
  },
  render({ permissions, roles, rules }, page) {
    page.line('Roles', 'bold')
    page.table(
      ['ROLE', 'OF', 'STATE', 'INCLUDES', 'PERMISSIONS'],
      roles.map(({ name, tenantId, isActive, includes, permissions: held }) => [
        name,
        tenantId === null ? 'built in' : 'the tenant',
        stateOf(isActive),
        includes.join(', '),
        held.join(', '),
      ]),
    )
    page.line()
    page.line('Permissions', 'bold')
    page.table(
      ['PERMISSION', 'STATE', 'DESCRIPTION'],
      permissions.map(({ name, isActive, description }) => [name, stateOf(isActive), description]),
    )
    page.line()
    page.line('Route rules', 'bold')
    page.table(
      ['METHOD', 'PATH', 'PERMISSION', 'STATE'],
      rules.map(({ method, path, permission, isActive }) => [method, path, permission, stateOf(isActive)]),
    )
  },
})

const stateOf = (isActive: boolean) => (isActive ? 'active' : { text: 'inactive', style: 'yellow' as const })
