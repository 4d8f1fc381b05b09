import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { ApiLimits } from '../../../src/api/index.js'
import type { Tenancy, Tenant } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { repository } from '../../support/processes/node-process.js'
import { uniqueName } from '../../support/server.js'

/** Somebody who calls. */
export interface Caller {
  readonly id: string
  readonly token: string
}

/** A request to a process. */
export interface ProcessRequest {
  readonly as: Caller
  readonly body?: object
  /** `Idempotency-Key`. */
  readonly key?: string
}

/** What a process answered. */
export interface ProcessAnswer {
  readonly status: number
  readonly headers: Headers
  // oxlint-disable-next-line typescript/no-explicit-any -- a document of any shape, which each test knows
  readonly json: any
}

/** A process of the operating system that serves the API. */
export interface ApiProcess {
  /** `'GET /me/tenants'`. Rejects when the process ends before it has answered. */
  call(target: string, request: ProcessRequest): Promise<ProcessAnswer>
  /** Ends it with SIGKILL. */
  kill(): Promise<void>
}

/** An application on the built package. It ends with its parent, whatever ends that. */
const program = `
  import Fastify from 'fastify'
  import { createTenancy } from 'tenants2fast'
  import { createApi } from 'tenants2fast/api'
  import { tenancyPlugin } from 'tenants2fast/fastify'
  process.once('disconnect', () => process.exit(1))
  const log = () => {}
  const tenancy = await createTenancy({ logger: { debug: log, info: log, warn: log, error: log } })
  const app = Fastify()
  const api = createApi({ tenancy, limits: JSON.parse(process.env.T2F_API_LIMITS), platform: true })
  await app.register(tenancyPlugin, { tenancy, api })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  process.once('message', async () => {
    await app.close()
    await tenancy.close()
    process.exit(0)
  })
  process.send({ address })
`

/** Processes that serve the API of one installation, and share nothing but its catalog. */
export class ApiProcesses {
  readonly installation: Installation
  readonly #children: ChildProcess[] = []
  readonly #limits: ApiLimits
  /** The test's own: what no request is needed for. */
  tenancy!: Tenancy

  /** @param limits those that a test is about; the others are so high that no test meets them */
  constructor(limits: ApiLimits, settings: Readonly<Record<string, string>> = {}) {
    this.#limits = { ...plenty, ...limits }
    const few = { TENANT_MAX_CONNECTIONS: '5', TENANT_PROCESSES: '5' }
    this.installation = createInstallation({ TENANT_SEED_PROFILE: 'prod', ...few, ...settings })
  }

  async open(): Promise<void> {
    this.tenancy = await this.installation.open()
  }

  /** Starts a process, with settings of its own. */
  async start(settings: Readonly<Record<string, string>> = {}): Promise<ApiProcess> {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      cwd: repository,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: {
        ...{ PATH: process.env['PATH'], T2F_API_LIMITS: JSON.stringify(this.#limits) },
        ...{ ...this.installation.env, ...settings },
      },
    })
    this.#children.push(child)
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('A process of the API ended')))
    ended.catch(() => {})
    const [{ address }] = (await Promise.race([once(child, 'message'), ended])) as [{ readonly address: string }]
    return {
      call: (target, request) => send(address, target, request),
      async kill() {
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      },
    }
  }

  async createUser(): Promise<Caller> {
    const user = { email: `${uniqueName()}@example.com`, name: 'U', emailVerified: true }
    const { id } = await this.tenancy.createUser(user)
    return { id, token: (await this.tenancy.issueAccessToken({ user: id })).token }
  }

  /** Makes an administrator of the platform, with a token for it, which the process issues. */
  async createAdministrator(served: ApiProcess): Promise<Caller> {
    const user = await this.createUser()
    await this.tenancy.grantPlatformRole({ user: user.id })
    const { json } = await served.call('POST /platform/token', { as: user })
    return { id: user.id, token: json.accessToken as string }
  }

  async createTenant(owner: Caller): Promise<Tenant> {
    const slug = `t-${uniqueName().slice(-12)}`
    return this.tenancy.createTenant({ name: slug, slug, owner: owner.id })
  }

  /** Makes a member of the tenant. */
  async join(tenant: Tenant, roles: readonly string[]): Promise<Caller> {
    const user = await this.createUser()
    await this.tenancy.addMember({ tenant: tenant.id, user: user.id, roles })
    return user
  }

  /** Ends all processes, and removes the installation. */
  async close(): Promise<void> {
    await Promise.all(this.#children.map(stop))
    await this.installation.drop()
  }
}

const plenty: ApiLimits = {
  ...{
    changesPerUser: 1_000_000,
    changesPerTenant: 1_000_000,
    readsPerUser: 1_000_000,
    strangersPerAddress: 1_000_000,
  },
}

/** Asks a process to stop, and kills it after 20 s. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  const killTimer = setTimeout(() => child.kill('SIGKILL'), 20_000)
  if (child.connected) child.send('stop')
  await exited
  clearTimeout(killTimer)
}

async function send(address: string, target: string, { as, body, key }: ProcessRequest): Promise<ProcessAnswer> {
  const [method = '', path = ''] = target.split(' ')
  const answer = await fetch(`${address}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${as.token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, headers: answer.headers, json: text === '' ? undefined : JSON.parse(text) }
}
