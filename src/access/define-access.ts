import { z } from 'zod'
import type { AccessDefinition } from '../core/access/access.js'
import { groupNamePattern, permissionNamePattern } from '../core/access/names.js'
import { TenancyError } from '../core/errors/errors.js'
import { brokenReferences, shorten } from './broken-references.js'
import { problemOfTemplate } from './route-template.js'

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS' | '*'

/** A permission's name: `resource:action`. */
export type PermissionName = `${string}:${string}`
/** A route rule's key: method (or `*`), a space, the route's template. */
export type RouteKey = `${Method} /${string}`

/** Input of {@link defineAccess}. */
export interface AccessDefinitionInput<
  Category extends string,
  Permission extends PermissionName,
  Role extends string,
> {
  /**
   * Raise it with a change that removes something. A process with a lower version then changes nothing in the catalog, so
   * old and new processes can run side by side. A whole number from 1. Default: 1.
   */
  readonly version?: number
  /** Categories by name, each with its description. */
  readonly categories?: Readonly<Record<Category, string>>
  /** Permissions by name, each with its description. */
  readonly permissions: Readonly<
    Record<Permission, string | { readonly description?: string; readonly category?: NoInfer<Category> }>
  >
  /** The permission that opens each route; of several, any one is enough. */
  readonly routes?: Readonly<Record<RouteKey, NoInfer<Permission> | readonly NoInfer<Permission>[]>>
  /** Built-in roles and their permissions. '*': all. `Owner` always exists, and holds everything unless it is given here. */
  readonly roles?: Readonly<Record<Role, RoleInput<NoInfer<Permission>, NoInfer<Role> | 'Owner'>>>
}

/** A built-in role: only its permissions, or these with a description and the roles that it includes. */
export type RoleInput<Permission extends string, Role extends string = string> =
  | '*'
  | readonly Permission[]
  | {
      readonly description?: string
      /** The role's own permissions. Default: none. */
      readonly permissions?: '*' | readonly Permission[]
      /** Included roles: who has this role counts as having them and their permissions. Default: none. */
      readonly includes?: readonly Role[]
    }

/** The permission names of a definition as a union of literals. */
export type PermissionOf<Definition> = Definition extends AccessDefinition<infer Permission> ? Permission : never

/**
 * Defines what an application's members may do: permissions, route rules, built-in roles. A permission name that is
 * misspelled in a rule or a role does not compile.
 *
 * @example
 * const access = defineAccess({
 *   permissions: { 'reports:read': 'Read reports', 'reports:create': 'Write reports' },
 *   routes: { 'GET /reports': 'reports:read', 'POST /reports': 'reports:create' },
 *   roles: { Member: ['reports:read'] },
 * })
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID, naming every problem
 */
export function defineAccess<
  const Permission extends PermissionName,
  const Category extends string = never,
  const Role extends string = never,
>(input: AccessDefinitionInput<Category, Permission, Role>): AccessDefinition<Permission, Role | 'Owner'> {
  return parseAccessDefinition(input) as AccessDefinition<Permission, Role | 'Owner'>
}

const routePattern = /^([A-Z]{1,20}|\*) (\/.*)$/

const permissionName = z
  .string()
  .regex(permissionNamePattern, 'is not a permission name: resource:action in lower case')
const categoryName = z
  .string()
  .regex(groupNamePattern, 'is not a category name: 1 to 100 letters, digits, spaces, . _ -')
const roleName = z.string().regex(groupNamePattern, 'is not a role name: 1 to 100 letters, digits, spaces, . _ -')
const routeKey = z.string().superRefine((key, context) => {
  const path = routePattern.exec(key)?.[2]
  const problem =
    path === undefined ? 'is not a route: a method in upper case or *, a space, a path' : problemOfTemplate(path)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})
const description = z
  .string()
  .max(1000)
  .regex(/^[^\0]*$/, 'holds a NUL')
const held = z.union([z.literal('*'), z.array(z.string())])
const longRole = z.strictObject({
  description: description.default(''),
  permissions: held.default([]),
  includes: z.array(z.string()).default([]),
})

const definitionSchema = z.strictObject({
  version: z.int().min(1).max(2_147_483_647).default(1),
  categories: z.record(categoryName, description).default({}),
  permissions: z.record(
    permissionName,
    z.union([description, z.strictObject({ description: description.default(''), category: z.string().optional() })], {
      error: 'is neither a description nor { description, category }',
    }),
  ),
  routes: z
    .record(routeKey, z.union([z.string(), z.array(z.string()).min(1)], { error: 'names no permission' }))
    .default({}),
  roles: z
    .record(
      roleName,
      z.union([held, longRole], {
        error: "is neither '*', a list of permissions, nor { description, permissions, includes }",
      }),
    )
    .default({}),
})

/**
 * Checks an access definition from outside the program, such as a JSON file. It has the same shape as the input of
 * {@link defineAccess}.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID, naming every problem
 */
export function parseAccessDefinition(json: unknown): AccessDefinition {
  const parsed = definitionSchema.safeParse(json)
  const problems = parsed.success ? [] : parsed.error.issues.flatMap(describeIssue)
  problems.push(...brokenReferences(json))
  if (problems.length > 0 || !parsed.success) throw invalid(problems)
  const { version, categories, permissions, routes, roles } = parsed.data
  const withOwner = 'Owner' in roles ? roles : { Owner: '*' as const, ...roles }
  return {
    version,
    categories: Object.entries(categories).map(([name, text]) => ({ name, description: text })),
    permissions: Object.entries(permissions).map(([name, value]) =>
      typeof value === 'string'
        ? { name, description: value, category: null }
        : { name, description: value.description, category: value.category ?? null },
    ),
    routes: Object.entries(routes).flatMap(([key, value]) => {
      const space = key.indexOf(' ')
      const names = typeof value === 'string' ? [value] : [...new Set(value)]
      return names.map((permission) => ({ method: key.slice(0, space), path: key.slice(space + 1), permission }))
    }),
    roles: Object.entries(withOwner).map(([name, value]) => {
      const role = value === '*' || Array.isArray(value) ? { description: '', permissions: value, includes: [] } : value
      return {
        name,
        description: role.description,
        permissions: role.permissions === '*' ? '*' : [...new Set(role.permissions)],
        includes: [...new Set(role.includes)],
      }
    }),
  }
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  const where = issue.path.map((part) => shorten(String(part))).join('.') || 'definition'
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => `${where}: ${message}`)
  return [`${where}: ${issue.message}`]
}

function invalid(problems: readonly string[]): TenancyError {
  return new TenancyError(
    'TENANCY_ACCESS_DEFINITION_INVALID',
    `Invalid access definition (${problems.length} problem${problems.length === 1 ? '' : 's'}):\n  ${problems.join('\n  ')}`,
    { details: { problems } },
  )
}
