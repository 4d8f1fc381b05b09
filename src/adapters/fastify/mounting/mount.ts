import type { FastifyInstance, HTTPMethods } from 'fastify'
import { type AccountsHandler, maxAccountsBodyBytes, maxApiBodyBytes } from '../../../http/http-tenancy.js'
import { toApiRequest, toWebRequest } from '../../../http/web-request.js'
import { mountHandler } from './mount-handler.js'
import type { MountedApi } from '../plugin-options.js'

/** Serves accounts at `<prefix>/*`. */
export function mountAccounts(app: FastifyInstance, prefix: string, handle: AccountsHandler): void {
  const methods: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
  mountHandler(app, {
    answer: (facts, connection) => handle(toWebRequest(facts), connection),
    routes: [{ url: `${prefix}/*`, methods }],
    maxBodyBytes: maxAccountsBodyBytes,
    readsAddresses: [prefix],
  })
}

/**
 * Serves the management API, each operation at its own path, beside the routes of the application: below the prefix of the
 * scope that the plugin is registered in, if it has one.
 */
export function mountApi(app: FastifyInstance, { answer, routes, prefixes = [] }: MountedApi): void {
  mountHandler(app, {
    answer: (facts, connection) => answer(toApiRequest(facts), connection),
    routes: routes.map(({ path, methods }) => ({
      url: path.replaceAll(/\{(\w+)\}/g, ':$1'),
      methods: (methods.includes('GET') ? ['HEAD', ...methods] : [...methods]) as HTTPMethods[],
    })),
    maxBodyBytes: maxApiBodyBytes,
    prefixes,
    readsAddresses: prefixes,
    scopePrefix: app.prefix,
  })
}
