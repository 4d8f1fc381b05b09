import { partOf } from '../../core/columns.js'
import { type User, userColumns } from '../../core/model.js'
import { answerJson } from '../../http/messages/answers.js'
import { readBody } from './body.js'
import type { RouteParts, RouteTable } from './route-table.js'
import { parseFields } from '../../http/messages/fields.js'
import { schemas } from './schemas.js'

/** `/me`: users read and change their own profile. */
export function profileRoutes({ host, provider, limits }: RouteParts): RouteTable {
  const authenticate = (request: Request) => host.authenticate(request.headers.get('authorization') ?? undefined)

  return {
    '/me': {
      async GET({ request }) {
        return answerJson(200, profileOf(await authenticate(request)))
      },
      async PATCH({ request, address }) {
        const { id } = await authenticate(request)
        await limits.attempt('profile', { account: id, address })
        const body = await readBody(request, ['application/json'])
        const user = await provider.updateProfile(id, parseFields(schemas.profileChange, body?.fields))
        host.forgetUser(id)
        return answerJson(200, profileOf(user))
      },
    },
  }
}

/** The user as they see themselves. Whoever is disabled sees nothing. */
function profileOf(user: User): object {
  const { disabledAt: _, ...profile } = partOf(userColumns, 'public', user)
  return profile
}
