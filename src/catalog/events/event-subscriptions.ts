import { AsyncLocalStorage } from 'node:async_hooks'
import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import type { SqlPool } from '../../core/sql-client.js'
import { parse, schemaOf } from '../input.js'
import { eventTypes, type TenancyEvent, type TenancyEventType } from './event.js'
import { createEventStore } from './event-store.js'
import { startDelivery } from './event-delivery.js'

/** A durable subscription to events. */
export interface OnEventInput {
  /**
   * Names the subscription in the whole installation: its position is kept in the catalog under it, and one process at a time
   * works on it. 1 to 63 lower-case letters, digits, `.`, `_` or `-`, a letter or digit first.
   */
  readonly name: string
  /** Types of events that the handler is called with. Default: all. */
  readonly events?: readonly TenancyEventType[] | undefined
  /** Where a new subscription begins: with what is committed from now on, or with all that is in the audit log. Default: `now`. */
  readonly from?: 'now' | 'start' | undefined
}

/** Handles one event. When it rejects, the event comes again after a pause, before any later one of its tenant. */
export type EventHandler = (event: TenancyEvent) => unknown

/** A subscription that this process works on, or waits for. */
export interface EventSubscription {
  readonly name: string
  /** This process works on the subscription, and no other does. */
  readonly isActive: boolean
  /** Events that the handler has handled in this process. */
  readonly handled: number
  /** Calls of the handler that have failed in this process. */
  readonly failed: number
  /** The last failure of the handler, until an event of the same tenant is handled. */
  readonly lastError: unknown
  /** Waits for the handler that is running, and gives the subscription back; another process may go on. The position stays. */
  close(): Promise<void>
}

/** Subscriptions to what was committed in the catalog. */
export interface Events {
  /**
   * Calls a handler with each event after its commit, at least once, in the order of the commits for each tenant (and for the
   * installation); of different tenants in any order. Call it in every process: one of them works on the subscription, and
   * another takes over within about 10 s when that one ends. A handler that fails is tried again after 1 s, then 2 s, up to
   * a minute; other tenants' events go on meanwhile, unless 100 tenants' fail. Waits for the catalog; delivery goes on in the
   * background until `close()` of the subscription or the tenancy.
   * @throws TENANCY_REQUEST_INVALID (also: this process has a subscription of this name), TENANCY_CLOSED
   * @example
   * await tenancy.onEvent({ name: 'billing', events: ['tenant.created', 'member.added'] }, async (event) => {
   *   await billing.report(event.id, event.type, event.tenantId)
   * })
   */
  onEvent(input: OnEventInput, handler: EventHandler): Promise<EventSubscription>
}

const onEventInput = schemaOf<OnEventInput>()(
  z.strictObject({
    name: z
      .string('must be text')
      .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9, ".", "_" and "-"'),
    events: z
      .array(
        z.custom<TenancyEventType>(
          (type) => typeof type === 'string' && (type.startsWith('app.') || (eventTypes as string[]).includes(type)),
          'must be the type of an event',
        ),
        'must be a list of types of events',
      )
      .min(1)
      .max(100)
      .readonly()
      .optional(),
    from: z.enum(['now', 'start']).optional(),
  }),
)
const handlerInput = z.custom<EventHandler>((value) => typeof value === 'function', 'must be a function')

/** Options of {@link createEvents}. */
export interface EventsOptions {
  readonly catalog: SqlPool
  readonly logger: Logger
  /** How long a process that has died keeps a subscription, milliseconds. Default: 10 s. */
  readonly leaseMs?: number
  /** Pause when there is nothing to deliver, milliseconds. Default: 1 s. */
  readonly idleMs?: number
}

/** Creates the subscriptions of a process. */
export function createEvents(options: EventsOptions): Events & { readonly close: () => Promise<void> } {
  const { catalog, logger, leaseMs = 10_000, idleMs = 1000 } = options
  const store = createEventStore(catalog)
  const open = new Map<string, EventSubscription>()
  // Events belong to nobody's request, whoever's was the first to subscribe.
  const outside = AsyncLocalStorage.snapshot()
  let isClosed = false

  return {
    async onEvent(input, handler) {
      const { name, events, from = 'now' } = parse(onEventInput, input)
      const handle = parse(handlerInput, handler, 'handler')
      await store.create(name, from)
      if (isClosed) throw new TenancyError('TENANCY_CLOSED')
      if (open.has(name)) {
        throw new TenancyError(
          'TENANCY_REQUEST_INVALID',
          `This process has a subscription ${JSON.stringify(name)}: close it first`,
        )
      }
      const wanted = events && new Set(events)
      const delivery = outside(() =>
        startDelivery({
          ...{ store, name, logger, leaseMs, idleMs, handle },
          isWanted: (type) => wanted?.has(type) ?? true,
        }),
      )
      const subscription: EventSubscription = {
        name,
        get isActive() {
          return delivery.state.isActive
        },
        get handled() {
          return delivery.state.handled
        },
        get failed() {
          return delivery.state.failed
        },
        get lastError() {
          return delivery.state.lastError
        },
        async close() {
          await delivery.stop()
          if (open.get(name) === subscription) open.delete(name)
        },
      }
      open.set(name, subscription)
      return subscription
    },
    async close() {
      isClosed = true
      await Promise.all([...open.values()].map((subscription) => subscription.close()))
    },
  }
}
