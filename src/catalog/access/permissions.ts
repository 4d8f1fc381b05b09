import { z } from 'zod'
import { groupNamePattern, permissionNamePattern } from '../../core/access/names.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { createChange } from '../change.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { actor, description, name, parse, schemaOf } from '../input.js'
import { isSeeded } from './seed/defined-entries.js'
import { commitChange, explainTaken, findPermission } from './lookup.js'
import { inOrder } from '../transaction.js'

/** A permission to create. */
export interface NewPermissionInput extends ActorOption {
  /** `resource:action` in lower case; unique. */
  readonly name: string
  /** At most 1000 characters. Default: empty. */
  readonly description?: string | undefined
  /** Name of a category. Default, and null: none. */
  readonly category?: string | null | undefined
}

/** The new description and category of a permission. */
export interface PermissionUpdateInput extends ActorOption {
  /** Name of the permission. */
  readonly permission: string
  /** At most 1000 characters. Default: unchanged. */
  readonly description?: string | undefined
  /** Name of a category; null: none. Default: unchanged. */
  readonly category?: string | null | undefined
}

/** Which permissions to list. */
export interface PermissionListInput {
  /** Only the permission of this name. Default: all. */
  readonly name?: string | undefined
  /** Name of the last permission of the page before. Default: from the start. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: all. */
  readonly limit?: number | undefined
}

/** A permission to activate or deactivate. */
export interface PermissionActiveInput extends ActorOption {
  /** Name of the permission. */
  readonly permission: string
  readonly isActive: boolean
}

/** A category to create. */
export interface NewCategoryInput extends ActorOption {
  /** 1 to 100 letters, digits, spaces, `.`, `_` and `-`; unique. */
  readonly name: string
  /** At most 1000 characters. Default: empty. */
  readonly description?: string | undefined
}

/** A category, by its name. */
export interface CategoryKeyInput extends ActorOption {
  /** Name of the category. */
  readonly category: string
}

/** The new name and description of a category. */
export interface CategoryUpdateInput extends CategoryKeyInput {
  /** As of {@link NewCategoryInput}. Default: unchanged. */
  readonly name?: string | undefined
  /** At most 1000 characters. Default: unchanged. */
  readonly description?: string | undefined
}

const permissionName = z
  .string()
  .regex(permissionNamePattern, 'is not a permission name: resource:action in lower case')
const categoryName = z.string().regex(groupNamePattern, '1 to 100 letters, digits, spaces, . _ -')

const newPermissionInput = schemaOf<NewPermissionInput>()(
  z.strictObject({ name: permissionName, description: description.default(''), category: name.nullish(), actor }),
)
const permissionUpdateInput = schemaOf<PermissionUpdateInput>()(
  z.strictObject({ permission: name, description: description.optional(), category: name.nullish(), actor }),
)
const permissionActiveInput = schemaOf<PermissionActiveInput>()(
  z.strictObject({ permission: name, isActive: z.boolean(), actor }),
)
const permissionListInput = schemaOf<PermissionListInput>()(
  z.strictObject({ name: name.optional(), after: name.optional(), limit: z.int().min(1).max(1000).optional() }),
)
const newCategoryInput = schemaOf<NewCategoryInput>()(
  z.strictObject({ name: categoryName, description: description.default(''), actor }),
)
const categoryUpdateInput = schemaOf<CategoryUpdateInput>()(
  z.strictObject({ category: name, name: categoryName.optional(), description: description.optional(), actor }),
)
const categoryKeyInput = schemaOf<CategoryKeyInput>()(z.strictObject({ category: name, actor }))

/** A permission as the catalog has it. */
export interface Permission {
  readonly name: string
  readonly description: string
  readonly category: string | null
  readonly isActive: boolean
  /** Whether it ships with the access definition. */
  readonly isSystem: boolean
}

/** A group of permissions, for display. */
export interface PermissionCategory {
  readonly name: string
  readonly description: string
  /** Whether it ships with the access definition. */
  readonly isSystem: boolean
}

/** Changes permissions and their categories. They are the same for every tenant; only operators of the installation change them. */
export interface PermissionAdministration {
  /** Creates a permission that no role or member holds yet. @throws TENANCY_ACCESS_PERMISSION_EXISTS, TENANCY_ACCESS_CATEGORY_NOT_FOUND */
  createPermission(input: NewPermissionInput): Promise<void>
  /**
   * Describes a permission, or changes its category.
   * @throws TENANCY_ACCESS_PERMISSION_NOT_FOUND, TENANCY_ACCESS_CATEGORY_NOT_FOUND
   */
  updatePermission(input: PermissionUpdateInput): Promise<void>
  /** Activates or deactivates a permission. An inactive one grants nothing. @throws TENANCY_ACCESS_PERMISSION_NOT_FOUND */
  setPermissionActive(input: PermissionActiveInput): Promise<void>
  /** Lists permissions by name, all of them or a page. */
  listPermissions(input?: PermissionListInput): Promise<Permission[]>
  /** Creates a category. @throws TENANCY_ACCESS_CATEGORY_EXISTS */
  createCategory(input: NewCategoryInput): Promise<void>
  /** Renames or describes a category. @throws TENANCY_ACCESS_CATEGORY_NOT_FOUND, TENANCY_ACCESS_CATEGORY_EXISTS */
  updateCategory(input: CategoryUpdateInput): Promise<void>
  /** Deletes a category. Its permissions stay, without a category. @throws TENANCY_ACCESS_CATEGORY_NOT_FOUND */
  deleteCategory(input: CategoryKeyInput): Promise<void>
  /** Lists all categories, by name. */
  listCategories(): Promise<PermissionCategory[]>
}

/** The services that change permissions and categories. */
export function createPermissions(pool: SqlPool): PermissionAdministration {
  const change = createChange(pool)
  return {
    createPermission: change.ofInstallation(newPermissionInput, async (client, input, scope) => {
      const after = { description: input.description, category: input.category ?? null }
      await findCategory(client, after.category)
      const inserted = client.query('insert into permissions (name, description, category) values ($1, $2, $3)', [
        input.name,
        after.description,
        after.category,
      ])
      await inOrder([
        explainTaken(inserted, 'TENANCY_ACCESS_PERMISSION_EXISTS', 'permission', input.name),
        commitChange(client, scope, 'permission.create', `permission:${input.name}`, null, after),
      ])
    }),

    updatePermission: change.ofInstallation(permissionUpdateInput, async (client, input, scope) => {
      const { id, name: found, description: text, category } = await findPermission(client, input.permission)
      const before = { description: text, category }
      const after = {
        description: input.description ?? text,
        category: input.category === undefined ? category : input.category,
      }
      if (after.description === text && after.category === category) return
      await findCategory(client, after.category)
      await inOrder([
        client.query('update permissions set description = $2, category = $3 where id = $1', [
          id,
          after.description,
          after.category,
        ]),
        commitChange(client, scope, 'permission.update', `permission:${found}`, before, after),
      ])
    }),

    setPermissionActive: change.ofInstallation(
      permissionActiveInput,
      async (client, { permission, isActive }, scope) => {
        const { id } = await findPermission(client, permission)
        const { rowCount } = await client.query(
          'update permissions set is_active = $2 where id = $1 and is_active <> $2',
          [id, isActive],
        )
        if (rowCount === 0) return
        const subject = `permission:${permission}`
        await commitChange(client, scope, 'permission.update', subject, { isActive: !isActive }, { isActive })
      },
    ),

    async listPermissions(input = {}) {
      const { name: only = null, after = null, limit = null } = parse(permissionListInput, input)
      const { rows } = await pool.query<Permission>(
        `select name, description, category, is_active as "isActive", is_system as "isSystem"
         from permissions where ($1::text is null or name > $1) and ($3::text is null or name = $3) order by name limit $2`,
        [after, limit, only],
      )
      return rows
    },

    createCategory: change.ofInstallation(newCategoryInput, async (client, input, scope) => {
      const after = { description: input.description }
      const inserted = client.query('insert into permission_categories (name, description) values ($1, $2)', [
        input.name,
        input.description,
      ])
      await inOrder([
        explainTaken(inserted, 'TENANCY_ACCESS_CATEGORY_EXISTS', 'category', input.name),
        commitChange(client, scope, 'category.create', `category:${input.name}`, null, after),
      ])
    }),

    updateCategory: change.ofInstallation(categoryUpdateInput, async (client, input, scope) => {
      const before = await findCategory(client, input.category)
      const after = { name: input.name ?? before.name, description: input.description ?? before.description }
      if (after.name === before.name && after.description === before.description) return
      const updated = client.query('update permission_categories set name = $2, description = $3 where name = $1', [
        before.name,
        after.name,
        after.description,
      ])
      await inOrder([
        explainTaken(updated, 'TENANCY_ACCESS_CATEGORY_EXISTS', 'category', after.name),
        commitChange(client, scope, 'category.update', `category:${before.name}`, before, after),
      ])
    }),

    deleteCategory: change.ofInstallation(categoryKeyInput, async (client, input, scope) => {
      const before = await findCategory(client, input.category)
      await inOrder([
        client.query('delete from permission_categories where name = $1', [before.name]),
        commitChange(client, scope, 'category.delete', `category:${before.name}`, before, null),
      ])
    }),

    async listCategories() {
      const { rows } = await pool.query<PermissionCategory>(
        `select name, description, ${isSeeded("'category ' || name")} as "isSystem"
         from permission_categories order by name`,
      )
      return rows
    },
  }
}

type CategoryFacts = Pick<PermissionCategory, 'name' | 'description'>

async function findCategory(client: SqlClient, category: string): Promise<CategoryFacts>
async function findCategory(client: SqlClient, category: string | null): Promise<CategoryFacts | undefined>
async function findCategory(client: SqlClient, category: string | null) {
  if (category === null) return undefined
  const { rows } = await client.query<CategoryFacts>(
    'select name, description from permission_categories where name = $1',
    [category],
  )
  if (rows[0] !== undefined) return rows[0]
  throw new TenancyError('TENANCY_ACCESS_CATEGORY_NOT_FOUND', `There is no category ${JSON.stringify(category)}`)
}
