import { type Channel, channel } from 'node:diagnostics_channel'
import type { TenancyError } from '../core/errors/errors.js'

/** The tenant that an event is about. `label` is its pool's label, for people. */
export interface ConnectionEvent {
  readonly tenant: string
  readonly label: string
}

/** A connection was opened and has proved its identity. */
export interface ConnectionOpenEvent extends ConnectionEvent {
  readonly durationMs: number
}

/** A connection was closed to make room for another tenant. */
export interface ConnectionEvictionEvent extends ConnectionEvent {
  readonly inFavourOf: string
}

/** A connection could not be opened, or reached the wrong database. */
export interface ConnectionErrorEvent extends ConnectionEvent {
  readonly error: TenancyError
}

/** A caller was refused a connection. */
export interface ConnectionRejectEvent extends ConnectionEvent {
  readonly error: Error
  readonly waitedMs: number
}

/** A pool, or a queue that knows its pool. */
interface Tenant {
  readonly key: string
  readonly label?: string
  readonly owner?: { readonly label: string } | undefined
}

const named = (name: string): Channel => channel(`tenants2fast:connection:${name}`)

const channels = {
  open: named('open'),
  close: named('close'),
  eviction: named('eviction'),
  reject: named('reject'),
  connectFailed: named('connect-failed'),
  identityMismatch: named('identity-mismatch'),
}

/** Publishes on `node:diagnostics_channel`. Costs a look at a flag while there is no subscriber. */
export const connectionEvents = {
  open(tenant: Tenant, durationMs: number): void {
    const { open } = channels
    if (open.hasSubscribers) open.publish({ ...about(tenant), durationMs } satisfies ConnectionOpenEvent)
  },
  close(tenant: Tenant): void {
    const { close } = channels
    if (close.hasSubscribers) close.publish(about(tenant) satisfies ConnectionEvent)
  },
  eviction(tenant: Tenant, successor: Tenant): void {
    const { eviction } = channels
    if (eviction.hasSubscribers) {
      eviction.publish({ ...about(tenant), inFavourOf: successor.key } satisfies ConnectionEvictionEvent)
    }
  },
  reject(tenant: Tenant, error: Error, waitedMs: number): void {
    const { reject } = channels
    if (reject.hasSubscribers) reject.publish({ ...about(tenant), error, waitedMs } satisfies ConnectionRejectEvent)
  },
  connectFailed(tenant: Tenant, error: TenancyError): void {
    const { connectFailed } = channels
    if (connectFailed.hasSubscribers) {
      connectFailed.publish({ ...about(tenant), error } satisfies ConnectionErrorEvent)
    }
  },
  identityMismatch(tenant: Tenant, error: TenancyError): void {
    const { identityMismatch } = channels
    if (identityMismatch.hasSubscribers) {
      identityMismatch.publish({ ...about(tenant), error } satisfies ConnectionErrorEvent)
    }
  },
}

function about({ key, label, owner }: Tenant): ConnectionEvent {
  return { tenant: key, label: label ?? owner?.label ?? key }
}
