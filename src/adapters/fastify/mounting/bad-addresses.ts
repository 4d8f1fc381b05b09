import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { tenancyErrorHandler } from '../error-handler.js'
import { rootOf } from '../refused-upgrades.js'

/** A handler and the paths that it answers. */
interface Own {
  readonly below: string
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => unknown
}

const ownKey: unique symbol = Symbol('tenants2fast.badAddresses')
type FrameworkErrors = ((error: Error, request: FastifyRequest, reply: FastifyReply) => void) & { [ownKey]?: Own[] }

/**
 * Answers addresses that Fastify's router refuses before it looks for a route: an escape that is no UTF-8 (400), a parameter that
 * is too long (414). Below the given paths the handler decides, which reads the address itself; elsewhere it is a problem
 * document. An application that has `frameworkErrors` of its own keeps them, for all its paths.
 */
export function answerBadAddresses(app: FastifyInstance, own: readonly Own[]): void {
  const root = rootOf(app)
  const key = Object.getOwnPropertySymbols(root).find(({ description }) => description === 'fastify.options')
  if (key === undefined) return
  // Fastify reads the option at each such request.
  const { [key]: options } = root as unknown as Record<symbol, { frameworkErrors?: FrameworkErrors }>
  const known = options?.frameworkErrors?.[ownKey]
  if (known !== undefined) known.push(...own)
  if (options === undefined || options.frameworkErrors !== undefined) return
  const all = [...own]
  const answer: FrameworkErrors = (error, request, reply) => {
    const found = all.find(({ below }) => request.url.startsWith(below))
    if (found === undefined) return tenancyErrorHandler(error, request, reply)
    Promise.resolve()
      .then(() => found.handle(request, reply))
      .catch((failure: unknown) => tenancyErrorHandler(failure, request, reply))
  }
  answer[ownKey] = all
  options.frameworkErrors = answer
}
