import { answerJson } from './answers.js'
import { readBody } from './body.js'
import { messagePage, problemPage, readLinkToken, verificationPage } from './pages.js'
import type { RouteParts, RouteTable } from './route-table.js'
import { parseFields, schemas } from './schemas.js'

/** `/register` and the verification of addresses. */
export function registrationRoutes({ host, provider, limits }: RouteParts): RouteTable {
  return {
    '/register': {
      async POST({ request, address }) {
        const body = await readBody(request, ['application/json'])
        const registration = parseFields(schemas.registration, body?.fields)
        await limits.attempt('register', { account: registration.email, address })
        await provider.register(registration)
        return answerJson(202, {})
      },
    },
    '/verify-email': {
      async GET({ request }) {
        return readLinkToken(request, verificationPage)
      },
      async POST({ request }) {
        const body = await readBody(request, ['application/json', 'application/x-www-form-urlencoded'])
        const isForm = body?.type === 'application/x-www-form-urlencoded'
        try {
          const { token } = parseFields(schemas.link, body?.fields)
          host.forgetUser(await provider.verifyEmail(token))
        } catch (error) {
          if (isForm) return problemPage(error, host.logger)
          throw error
        }
        return isForm
          ? messagePage(200, 'Your e-mail address is confirmed', 'You can log in now and close this page.')
          : answerJson(200, {})
      },
    },
    '/verify-email/resend': {
      async POST({ request, address }) {
        const body = await readBody(request, ['application/json'])
        const { email } = parseFields(schemas.address, body?.fields)
        await limits.attempt('resend', { account: email, address })
        await provider.resendVerification(email)
        return answerJson(202, {})
      },
    },
  }
}
