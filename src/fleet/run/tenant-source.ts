import type { FleetCatalog, FleetPageQuery, FleetSelection, FleetTenant } from '../../core/fleet/ports.js'

/** Tenants one by one, for any number of workers. */
export interface TenantSource {
  /** Undefined: there is no other. */
  next(): Promise<FleetTenant | undefined>
}

const pageSize = 200

/** Something that is done for tenants before they are handed out. */
export interface TenantGroups {
  /** Tenants at a time. */
  readonly size: number
  prepare(tenants: readonly FleetTenant[]): Promise<FleetTenant[]>
}

/** Reads tenants page by page, so that memory does not grow with their number. */
export function createTenantSource(
  read: FleetCatalog['page'],
  selection: FleetSelection,
  query: Omit<FleetPageQuery, 'after' | 'limit'>,
  groups?: TenantGroups,
): TenantSource {
  let page: FleetTenant[] = []
  let group: FleetTenant[] = []
  let after: string | undefined
  let isOver = false
  let reading: Promise<void> | undefined

  const readPage = async () => {
    page = (await read(selection, { ...query, after, limit: pageSize })).toReversed()
    after = page[0]?.id ?? after
    isOver = page.length < pageSize
  }
  const readGroup = async () => {
    if (page.length === 0) await readPage()
    if (groups === undefined || page.length === 0) return
    // The page keeps them if that fails.
    group = (await groups.prepare(page.slice(-groups.size).toReversed())).toReversed()
    page.splice(-groups.size)
  }

  return {
    async next() {
      for (;;) {
        const tenant = groups === undefined ? page.pop() : group.pop()
        if (tenant !== undefined || (isOver && page.length === 0)) return tenant
        reading ??= readGroup().finally(() => {
          reading = undefined
        })
        await reading
      }
    },
  }
}
