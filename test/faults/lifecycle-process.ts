import { loadConfig } from '../../src/core/config/load-config.js'
import { isTenancyError } from '../../src/core/errors/errors.js'
import { createTenancy } from '../../src/tenancy.js'
import { endWithParent } from '../support/processes/parent-process.js'
import { silentLogger } from '../support/silent-logger.js'
import { seededRandom } from '../support/seeded-random.js'

// A process of an installation that creates, deletes and purges tenants until it is killed. It reports to its parent what
// it did and what it is about to do; a report is in the pipe before the next step begins.

/** Orders of the parent, as JSON in the first argument. */
export interface LifecycleOrders {
  readonly owner: string
  /** Slugs of the tenants that it works on. */
  readonly slugs: readonly string[]
  /** `script`: every step once, then the end. `random`: random steps without end. `idle`: none. */
  readonly mode: 'script' | 'random' | 'idle'
  readonly seed: number
}

/** A message of the process to its parent. */
export type LifecycleReport =
  | { readonly kind: 'open' }
  /** The tenant was created, and its id written into its database. */
  | { readonly kind: 'marked'; readonly id: string }
  /** The tenant may be dropped from now on. */
  | { readonly kind: 'ending'; readonly id: string }
  /** A step failed with something that is not one of our errors. */
  | { readonly kind: 'unexpected'; readonly step: string; readonly message: string }
  | { readonly kind: 'done' }

const leaveParent = endWithParent()

const orders = JSON.parse(process.argv[2] ?? '') as LifecycleOrders
const random = seededRandom(orders.seed)
const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item

function report(message: LifecycleReport): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, (error: Error | null) => (error === null ? resolve() : reject(error)))
  })
}

// A start fails when its backend is ended; it is tried again, as a supervisor would.
let tenancy = await createTenancy({ logger: silentLogger }).catch(() => undefined)
while (tenancy === undefined) tenancy = await createTenancy({ logger: silentLogger }).catch(() => undefined)
const { retentionDays } = loadConfig()
const open = tenancy
await report({ kind: 'open' })

const steps = {
  async create(slug: string) {
    const tenant = await open.createTenant({ name: slug, slug, owner: orders.owner })
    await open.getTenantPool(tenant).query('insert into marks (tenant_id) values ($1)', [tenant.id])
    await report({ kind: 'marked', id: tenant.id })
  },
  async delete(slug: string) {
    const { id } = await open.getTenant(slug)
    if (retentionDays === 0) await report({ kind: 'ending', id })
    await open.deleteTenant({ tenant: id })
  },
  async undelete(slug: string) {
    await open.undeleteTenant({ tenant: slug })
  },
  async purge(slug: string) {
    const { id } = await open.getTenant(slug)
    await report({ kind: 'ending', id })
    await open.purgeTenant({ tenant: id })
  },
  async build() {
    await open.createTenantDatabase()
  },
  async reconcile() {
    await open.reconcile()
  },
}
type Step = keyof typeof steps

/** Messages of the server or the driver for a connection that was cut, which are passed on as they are. */
const cut = /terminat|Connection|ECONNRESET|EPIPE|not queryable/i

async function run(step: Step, slug: string): Promise<void> {
  try {
    await steps[step](slug)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (!isTenancyError(error) && !cut.test(message)) await report({ kind: 'unexpected', step, message })
  }
}

const script: readonly Step[] = [
  'create',
  'delete',
  'undelete',
  'delete',
  'purge',
  'create',
  'build',
  'delete',
  'reconcile',
]
if (orders.mode === 'script') {
  for (const step of script) await run(step, pick(orders.slugs))
  await report({ kind: 'done' })
  leaveParent()
  await open.close()
} else if (orders.mode === 'random') {
  const often: readonly Step[] = [
    'create',
    'create',
    'create',
    'delete',
    'delete',
    'undelete',
    'purge',
    'build',
    'reconcile',
  ]
  for (;;) await run(pick(often), pick(orders.slugs))
}
