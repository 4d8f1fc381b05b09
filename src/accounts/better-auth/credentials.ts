import { normalizeEmail } from '../../core/identity/email.js'
import type { User } from '../../core/model.js'
import { isUuid } from '../../core/uuid.js'
import { answered } from './catalog-answer.js'
import { actingAs } from './catalog-connections.js'
import type { Engine } from './engine.js'

/**
 * Reads and writes users and their passwords. The audit log shows a changed user as the actor of the change. Every method
 * throws TENANCY_CATALOG_UNAVAILABLE.
 */
export interface Credentials {
  /** Finds the user with this address (in lower case), and not one whose address only looks like it. */
  findUserByEmail(address: string): Promise<User | undefined>
  findUserById(id: string): Promise<User | undefined>
  /** Finds the stored hash. Without a user it runs the same query, so that it takes the same time. */
  findPassword(user: Pick<User, 'id'> | undefined): Promise<string | undefined>
  /** Replaces the hash `current`. False: the password was changed meanwhile. */
  replacePassword(userId: string, current: string, next: string): Promise<boolean>
  /** Changes a user. Undefined: there is no such user. */
  updateUser(id: string, change: Partial<Pick<User, 'name' | 'image'>>): Promise<User | undefined>
}

const model = { user: 'user', account: 'account' } as const
const noUser = '00000000-0000-0000-0000-000000000000'

/** Creates {@link Credentials} on the library's models. The library gets hashes here, never passwords. */
export function createCredentials({
  adapter,
  internalAdapter,
}: Pick<Engine, 'adapter' | 'internalAdapter'>): Credentials {
  return {
    async findUserByEmail(address) {
      const user = await answered(
        adapter.findOne<User>({
          model: model.user,
          where: [{ field: 'email', value: address, mode: 'insensitive' }],
        }),
      )
      return user && normalizeEmail(user.email) === address ? user : undefined
    },

    async findUserById(id) {
      if (!isUuid(id)) return undefined
      const user = await answered(adapter.findOne<User>({ model: model.user, where: [{ field: 'id', value: id }] }))
      return user ?? undefined
    },

    async findPassword(user) {
      const account = await answered(internalAdapter.findCredentialAccount(user?.id ?? noUser))
      return account?.password ?? undefined
    },

    async replacePassword(userId, current, next) {
      const changed = actingAs(userId, () =>
        adapter.transaction((transaction) =>
          transaction.updateMany({
            model: model.account,
            where: [
              { field: 'userId', value: userId },
              { field: 'providerId', value: 'credential' },
              { field: 'password', value: current },
            ],
            update: { password: next },
          }),
        ),
      )
      return (await answered(changed)) > 0
    },

    async updateUser(id, change) {
      if (!isUuid(id)) return undefined
      const updated = actingAs(id, () =>
        adapter.transaction((transaction) =>
          transaction.update<User>({ model: model.user, where: [{ field: 'id', value: id }], update: change }),
        ),
      )
      return (await answered(updated)) ?? undefined
    },
  }
}
