import { answerJson, answerNothing } from '../../http/messages/answers.js'
import { parseFields } from '../../http/messages/fields.js'
import type { AddressChanges } from '../address-change.js'
import { readBody } from './body.js'
import { buttonPage, messagePage, problemPage, readLinkToken } from './pages.js'
import type { RouteHandler, RouteParts, RouteTable } from './route-table.js'
import { schemas } from './schemas.js'

/** Routes for a change of address: asking for it, and the pages behind the links to both mailboxes. */
export function addressRoutes({ host, limits }: RouteParts, changes: AddressChanges): RouteTable {
  /** Does what a link is for, by JSON or by the form of its page. */
  function useLink(
    use: (token: string) => Promise<Response>,
    pageOf: (answer: Response) => Promise<Response>,
  ): RouteHandler {
    return async ({ request }) => {
      const body = await readBody(request, ['application/json', 'application/x-www-form-urlencoded'])
      if (body?.type !== 'application/x-www-form-urlencoded') {
        return use(parseFields(schemas.consent, body?.fields).token)
      }
      try {
        return await pageOf(await use(parseFields(schemas.consent, body.fields).token))
      } catch (error) {
        return problemPage(error, host.logger)
      }
    }
  }

  return {
    '/email/change': {
      async POST({ request, address }) {
        const user = await host.authenticate(request.headers.get('authorization') ?? undefined)
        const body = await readBody(request, ['application/json'])
        const change = parseFields(schemas.addressChange, body?.fields)
        await limits.attempt('change', { account: user.email, address })
        // A stolen access token must not allow guessing the password.
        const attempt = await limits.attempt('login', { account: user.email, address })
        await changes.request(user, change)
        await attempt.succeeded()
        return answerJson(202, {})
      },
    },
    '/email/confirm': {
      async GET({ query }) {
        return readLinkToken(query, (token) =>
          buttonPage({
            title: 'Agree to the change of the e-mail address',
            intro: 'The address of the account changes when both mailboxes have agreed. Then log in with the new one.',
            ...{ action: 'confirm', button: 'Agree', token },
          }),
        )
      },
      POST: useLink(
        async (token) => answerJson(200, { state: await changes.confirm(token) }),
        async (answer) => {
          const { state } = (await answer.json()) as { readonly state: 'waiting' | 'changed' }
          return state === 'changed'
            ? messagePage(200, 'The e-mail address is changed', 'Log in with the new address. You can close this page.')
            : messagePage(200, 'Thank you', 'Now open the link in the mail to the other address.')
        },
      ),
    },
    '/email/stop': {
      async GET({ query }) {
        return readLinkToken(query, (token) =>
          buttonPage({
            title: 'Stop the change of the e-mail address',
            intro: 'Your account keeps its address. If you did not ask for the change, set another password.',
            ...{ action: 'stop', button: 'Stop the change', token },
          }),
        )
      },
      POST: useLink(
        async (token) => {
          await changes.stop(token)
          return answerNothing()
        },
        async () =>
          messagePage(200, 'The change is stopped', 'Your account keeps its address. You can close this page.'),
      ),
    },
  }
}
