import type { SqlPool } from '../../core/sql-client.js'
import { chainOf } from '../audit/chains.js'
import { shownAfter, shownApiKey, shownBefore, shownImpersonation } from '../audit/shown-entry.js'
import { eventTypeOf, type TenancyEvent, type TenancyEventType } from './event.js'

/** An entry of the audit log after a subscription's position. */
export interface PendingEntry {
  readonly chainId: string
  readonly seq: number
  /** undefined: the entry is no event. */
  readonly event: TenancyEvent | undefined
}

/** The catalog's part of subscriptions. */
export interface EventStore {
  /** Creates the subscription unless there is one. A new one begins with what is committed from now on, or with everything. */
  create(name: string, from: 'now' | 'start'): Promise<void>
  /** Takes or renews the lease. False: another process has it. */
  hold(name: string, holder: string, leaseMs: number): Promise<boolean>
  /** Gives the lease back, if this holder has it. */
  release(name: string, holder: string): Promise<void>
  /** Reads entries that follow the positions, of at most 100 chains, in the order of each chain. */
  read(name: string, skippedChains: readonly string[]): Promise<PendingEntry[]>
  /** Moves positions forward, if this holder has the lease. False: it has not. */
  advance(name: string, holder: string, positions: ReadonlyMap<string, number>): Promise<boolean>
}

const maxChains = 100
const maxEntriesOfChain = 20

const pendingQuery = `
  select pending.chain_id as "chainId", entry.*
  from (
    select head.chain_id, head.length, coalesce(told.seq, 0) as seq
    from audit_chains as head
    left join event_positions as told on told.subscription = $1 and told.chain_id = head.chain_id
    where head.length > coalesce(told.seq, 0) and head.chain_id <> all ($2::uuid[])
    order by head.chain_id limit ${maxChains}
  ) as pending
  cross join lateral (
    select entry.seq::float8 as seq, at, actor_id as "actorId", tenant_id as "tenantId", action, subject,
      ${shownBefore} as before, ${shownAfter} as after, ${shownApiKey} as "apiKey", ${shownImpersonation} as impersonation
    from audit_log as entry
    where ${chainOf} = pending.chain_id and entry.seq > pending.seq and entry.seq <= pending.length
    order by entry.seq limit ${maxEntriesOfChain}
  ) as entry
  order by pending.chain_id, entry.seq`

interface EntryRow extends Omit<TenancyEvent, 'id' | 'type'> {
  readonly chainId: string
  readonly seq: number
  readonly action: string
}

/** Keeps subscriptions in the catalog. */
export function createEventStore(catalog: SqlPool): EventStore {
  return {
    async create(name, from) {
      await catalog.query(
        `with created as (
           insert into event_subscriptions (name) values ($1) on conflict do nothing returning name
         )
         insert into event_positions (subscription, chain_id, seq)
           select name, chain_id, length from created cross join audit_chains where $2 and length > 0`,
        [name, from === 'now'],
      )
    },
    async hold(name, holder, leaseMs) {
      const { rowCount } = await catalog.query(
        `update event_subscriptions set holder = $2, held_until = now() + make_interval(secs => $3 / 1000.0)
         where name = $1 and (holder is null or holder = $2 or held_until <= now())`,
        [name, holder, leaseMs],
      )
      return rowCount === 1
    },
    async release(name, holder) {
      await catalog.query(
        'update event_subscriptions set holder = null, held_until = null where name = $1 and holder = $2',
        [name, holder],
      )
    },
    async read(name, skippedChains) {
      const { rows } = await catalog.query<EntryRow>(pendingQuery, [name, skippedChains])
      return rows.map(({ chainId, seq, action, ...fields }) => ({
        chainId,
        seq,
        event: eventOf(eventTypeOf(action), chainId, seq, fields),
      }))
    },
    async advance(name, holder, positions) {
      const { rowCount } = await catalog.query(
        `with held as (select name from event_subscriptions where name = $1 and holder = $2 for share),
           moved as (
             insert into event_positions as told (subscription, chain_id, seq)
               select held.name, chain_id, seq from held cross join unnest($3::uuid[], $4::bigint[]) as reached (chain_id, seq)
               on conflict (subscription, chain_id) do update set seq = greatest(told.seq, excluded.seq)
           )
         select from held`,
        [name, holder, [...positions.keys()], [...positions.values()]],
      )
      return rowCount === 1
    },
  }
}

function eventOf(
  type: TenancyEventType | undefined,
  chainId: string,
  seq: number,
  fields: Omit<TenancyEvent, 'id' | 'type'>,
): TenancyEvent | undefined {
  return type === undefined ? undefined : { id: `${chainId}:${seq}`, type, ...fields }
}
