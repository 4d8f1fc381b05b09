import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { type Api, type ApiLimits, createApi, type OperationSettings } from '../../src/api/index.js'
import type { Tenancy, Tenant } from '../../src/index.js'
import { createInstallation, type Installation, type OpenOptions } from '../support/installation.js'
import { uniqueName } from '../support/server.js'
import { createAnswerCheck, documentPathOf } from './answer-check.js'

/** An answer of the API. */
export interface ApiAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, number | string | readonly string[] | undefined>>
  /** The document, or those of the lines; undefined: no body, or bytes. */
  // oxlint-disable-next-line typescript/no-explicit-any -- a document of any shape, which each test knows
  readonly json: any
}

/** Somebody who calls. */
export interface Caller {
  readonly id: string
  readonly token: string
}

/** A request of the API. */
export interface ApiRequest {
  readonly as?: Caller | undefined
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** The management API on an installation of its own, served by Fastify. */
export interface ApiApp {
  readonly installation: Installation
  readonly tenancy: Tenancy
  readonly api: Api
  readonly app: FastifyInstance
  /** `'GET /me/tenants'`. Fails when the answer is none that the document has. */
  call(target: string, request?: ApiRequest): Promise<ApiAnswer>
  /** The same without Fastify, whose router answers some paths itself. */
  callDirectly(target: string, request?: ApiRequest): Promise<ApiAnswer>
  /** As `call` or `callDirectly`, for methods that the document does not have. */
  sendUnchecked(way: 'call' | 'callDirectly', target: string, request?: ApiRequest): Promise<ApiAnswer>
  createUser(): Promise<Caller>
  /** Makes a platform administrator; `token` is one of the platform. */
  createAdministrator(): Promise<Caller & { readonly accessToken: string }>
  createTenant(owner: Caller): Promise<Tenant>
  /** Makes a user a member of the tenant. */
  join(tenant: Tenant, roles: readonly string[]): Promise<Caller>
  /** Opens the installation once more, as another process does; `close` closes it. */
  openAnother(options: OpenOptions): Promise<Tenancy>
  close(): Promise<void>
}

const plenty: ApiLimits = {
  ...{ changesPerUser: 100_000, changesPerTenant: 100_000, readsPerUser: 100_000, strangersPerAddress: 100_000 },
  ...{ invitationsPerAddress: 100_000, sendsPerInvitation: 100_000, invitationsPerTenant: 100_000 },
  secondsBetweenInvitations: 0,
}

/** @param limits Default: so many that no test meets one by accident */
export async function createApiApp(
  limits: ApiLimits = plenty,
  settings: OperationSettings = {},
  options: OpenOptions = {},
): Promise<ApiApp> {
  const installation = createInstallation({ TENANT_READY_DATABASES: '0', TENANT_SEED_PROFILE: 'prod' })
  const folder = await mkdtemp(join(tmpdir(), 't2f-exports-'))
  const tenancy = await installation.open({ exports: { folder }, ...options })
  const api = createApi({ tenancy, limits, platform: true, ...settings })
  // Answers that differ in nothing but their request's id are the same answer.
  const app = Fastify({ genReqId: () => 'req' })
  await app.register(tenancyPlugin, { tenancy, api })
  await app.ready()

  const checkAnswer = createAnswerCheck(api.document)
  const createUser = async (): Promise<Caller> => {
    const { id } = await tenancy.createUser({ email: `${uniqueName()}@example.com`, name: 'U', emailVerified: true })
    const { token } = await tenancy.issueAccessToken({ user: id })
    return { id, token }
  }
  const headersOf = ({ as, body, headers = {} }: ApiRequest) => ({
    ...(as === undefined ? {} : { authorization: `Bearer ${as.token}` }),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...headers,
  })
  const textOf = (body: unknown) => (typeof body === 'string' ? body : JSON.stringify(body))
  const checked = (target: string, answer: ApiAnswer): ApiAnswer => {
    const [method = 'GET', url = '/'] = target.split(' ')
    const path = documentPathOf(api.document, url)
    if (path !== undefined) checkAnswer(method.toLowerCase(), path, answer)
    return answer
  }
  const parse = (text: string, type: unknown): unknown => {
    if (type === 'application/octet-stream') return undefined
    if (type === 'application/x-ndjson')
      return text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as unknown)
    return text === '' ? undefined : JSON.parse(text)
  }
  const send = async (target: string, request: ApiRequest): Promise<ApiAnswer> => {
    const [method = 'GET', url = '/'] = target.split(' ')
    const { statusCode, headers, payload } = await app.inject({
      ...{ method: method as 'GET', url, headers: headersOf(request) },
      ...(request.body === undefined ? {} : { payload: textOf(request.body) }),
    })
    return { status: statusCode, headers, json: parse(payload, headers['content-type']) }
  }
  const sendDirectly = async (target: string, request: ApiRequest): Promise<ApiAnswer> => {
    const [method = 'GET', url = '/'] = target.split(' ')
    const answer = await api.handle(
      new Request(`http://localhost${url}`, {
        ...{ method, headers: headersOf(request) },
        ...(request.body === undefined ? {} : { body: textOf(request.body) }),
      }),
      { remoteAddress: '127.0.0.1', target: url, requestId: 'req' },
    )
    const headers = Object.fromEntries(answer.headers)
    return { status: answer.status, headers, json: parse(await answer.text(), headers['content-type']) }
  }

  return {
    ...{ installation, tenancy, api, app, createUser },
    openAnother: (more) => installation.open(more),
    async createAdministrator() {
      const { id, token: accessToken } = await createUser()
      await tenancy.grantPlatformRole({ user: id })
      const headers = { authorization: `Bearer ${accessToken}` }
      const answer = await app.inject({ method: 'POST', url: '/platform/token', headers })
      return { id, accessToken, token: answer.json<{ accessToken: string }>().accessToken }
    },
    async call(target, request = {}) {
      return checked(target, await send(target, request))
    },
    async callDirectly(target, request = {}) {
      return checked(target, await sendDirectly(target, request))
    },
    sendUnchecked: (way, target, request = {}) => (way === 'call' ? send : sendDirectly)(target, request),
    async createTenant(owner) {
      const slug = `t-${uniqueName()
        .slice(-12)
        .replaceAll(/[^a-z0-9]/g, '0')}`
      return tenancy.createTenant({ name: slug, slug, owner: owner.id })
    },
    async join(tenant, roles) {
      const user = await createUser()
      await tenancy.addMember({ tenant: tenant.id, user: user.id, roles })
      return user
    },
    async close() {
      await app.close()
      await tenancy.close()
      await installation.drop()
      await rm(folder, { recursive: true })
    },
  }
}
