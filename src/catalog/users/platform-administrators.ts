import { z } from 'zod'
import type { ActorOption } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { commitChange } from '../access/lookup.js'
import { actor, parse, schemaOf, userRef } from '../input.js'
import { inOrder, inTransaction } from '../transaction.js'

/** A user who gets or loses the right to administer the installation. */
export interface PlatformRoleInput extends ActorOption {
  /** Id of the user. */
  readonly user: string
}

/** A user who may administer the installation. */
export interface PlatformAdministrator {
  readonly userId: string
  readonly email: string
  readonly name: string
  /** When the user was disabled: such a user may do nothing. Null: they are not. */
  readonly disabledAt: Date | null
  readonly grantedAt: Date
  /** Id of a user; null: an operator of the installation, or a user who no longer exists. */
  readonly grantedBy: string | null
}

/** Which administrators to list. */
export interface ListPlatformAdministratorsOptions {
  /** Id of the last user of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/**
 * The users who may administer the installation: tenants, users and the fleet, but not the data of a tenant that they are no
 * member of. Operators who run code of the installation need no such right.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface PlatformAdministration {
  /**
   * Lets a user administer the installation. Once more changes nothing. An actor has to be an administrator.
   * @throws TENANCY_USER_NOT_FOUND (unknown or disabled), TENANCY_ACCESS_GRANT_REFUSED
   */
  grantPlatformRole(input: PlatformRoleInput): Promise<PlatformAdministrator>
  /**
   * Ends it. An actor has to be an administrator, and may end their own right while another one remains who is not disabled.
   * Only an operator removes the last one.
   * @throws TENANCY_USER_NOT_FOUND (no administrator, too), TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_PLATFORM_LAST_ADMINISTRATOR
   */
  revokePlatformRole(input: PlatformRoleInput): Promise<void>
  /** Lists administrators by user id. */
  listPlatformAdministrators(options?: ListPlatformAdministratorsOptions): Promise<PlatformAdministrator[]>
}

const roleInput = schemaOf<PlatformRoleInput>()(z.strictObject({ user: userRef, actor }))
const listOptions = schemaOf<ListPlatformAdministratorsOptions>()(
  z.strictObject({ after: z.guid().optional(), limit: z.int().min(1).max(1000).default(100) }),
)

const columns = `user_id as "userId", email, name, disabled_at as "disabledAt", granted_at as "grantedAt",
  granted_by as "grantedBy"`

/** Creates the service for administrators of the installation. */
export function createPlatformAdministration(catalog: SqlPool): PlatformAdministration {
  return {
    async grantPlatformRole(input) {
      const { user, actor: by } = parse(roleInput, input)
      return inTransaction(catalog, async (client) => {
        // The lock keeps the user from being disabled or deleted meanwhile.
        const [, , { rows: users }] = await inOrder([
          lockAdministrators(client),
          requireAdministrator(client, by, 'TENANCY_ACCESS_GRANT_REFUSED'),
          client.query<{ id: string }>('select id from users where id = $1 and disabled_at is null for no key update', [
            uuidOf(user),
          ]),
        ])
        const id = users[0]?.id
        if (id === undefined) throw notFound(user, 'does not exist or is disabled')
        const { rowCount } = await client.query(
          'insert into platform_administrators (user_id, granted_by) values ($1, $2) on conflict do nothing',
          [id, by ?? null],
        )
        const read = client.query<PlatformAdministrator>(
          `select ${columns} from platform_administrators join users on users.id = user_id where user_id = $1`,
          [id],
        )
        const change = { actorId: by ?? null }
        const [{ rows }] = await inOrder([
          read,
          rowCount === 0
            ? undefined
            : commitChange(client, change, 'platform.grant', `user:${id}`, null, { platform: true }),
        ])
        return rows[0] as PlatformAdministrator
      })
    },

    async revokePlatformRole(input) {
      const { user, actor: by } = parse(roleInput, input)
      await inTransaction(catalog, async (client) => {
        const [, , { rows }] = await inOrder([
          lockAdministrators(client),
          requireAdministrator(client, by, 'TENANCY_ACCESS_CHANGE_REFUSED'),
          client.query<{ id: string }>(
            'delete from platform_administrators where user_id = $1 returning user_id as id',
            [uuidOf(user)],
          ),
        ])
        const id = rows[0]?.id
        if (id === undefined) throw notFound(user, 'does not administer the installation')
        // An actor is an enabled administrator: only their own right can be the last one.
        if (id === by) await requireAnother(client)
        await commitChange(client, { actorId: by ?? null }, 'platform.revoke', `user:${id}`, { platform: true }, null)
      })
    },

    async listPlatformAdministrators(options = {}) {
      const { after, limit } = parse(listOptions, options)
      const { rows } = await catalog.query<PlatformAdministrator>(
        `select ${columns} from platform_administrators join users on users.id = user_id
         where $1::uuid is null or user_id > $1 order by user_id limit $2`,
        [after ?? null, limit],
      )
      return rows
    },
  }
}

/** One change at a time: two administrators who revoke each other cannot both succeed. */
async function lockAdministrators(client: SqlClient): Promise<void> {
  await client.query('select pg_advisory_xact_lock(7230951, 3)')
}

async function requireAdministrator(
  client: SqlClient,
  actorId: string | null | undefined,
  code: 'TENANCY_ACCESS_GRANT_REFUSED' | 'TENANCY_ACCESS_CHANGE_REFUSED',
): Promise<void> {
  if (actorId === null || actorId === undefined) return
  const { rows } = await client.query(
    `select from platform_administrators join users on users.id = user_id where user_id = $1 and disabled_at is null`,
    [actorId],
  )
  if (rows.length === 0) throw new TenancyError(code, `The user ${actorId} does not administer the installation`)
}

async function requireAnother(client: SqlClient): Promise<void> {
  const { rows } = await client.query(
    'select from platform_administrators join users on users.id = user_id where disabled_at is null limit 1',
  )
  if (rows.length === 0) throw new TenancyError('TENANCY_PLATFORM_LAST_ADMINISTRATOR')
}

/** An id that no user has stands for text that is no id, which must not become an error of the database. */
function uuidOf(user: string): string | null {
  return isUuid(user) ? user : null
}

function notFound(user: string, problem: string): TenancyError {
  return new TenancyError('TENANCY_USER_NOT_FOUND', `The user ${JSON.stringify(user.slice(0, 60))} ${problem}`)
}
