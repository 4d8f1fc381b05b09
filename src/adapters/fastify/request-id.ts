import type { FastifyRequest } from 'fastify'
import { safeRequestId } from '../../http/problem.js'

/** The request's id as log lines and problem documents carry it. */
export function requestIdOf(request: Pick<FastifyRequest, 'id'>): string {
  return safeRequestId(request.id)
}
