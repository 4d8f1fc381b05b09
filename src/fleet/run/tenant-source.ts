import type { FleetCatalog, FleetPageQuery, FleetSelection, FleetTenant } from '../../core/fleet/ports.js'

/** Tenants one by one, for any number of workers. */
export interface TenantSource {
  /** Undefined: there is no other. */
  next(): Promise<FleetTenant | undefined>
}

const pageSize = 200

/** Reads tenants page by page, so that memory does not grow with their number. */
export function createTenantSource(
  read: FleetCatalog['page'],
  selection: FleetSelection,
  query: Omit<FleetPageQuery, 'after' | 'limit'>,
): TenantSource {
  let page: FleetTenant[] = []
  let after: string | undefined
  let isOver = false
  let reading: Promise<void> | undefined

  const readPage = async () => {
    page = (await read(selection, { ...query, after, limit: pageSize })).toReversed()
    after = page[0]?.id ?? after
    isOver = page.length < pageSize
  }

  return {
    async next() {
      for (;;) {
        const tenant = page.pop()
        if (tenant !== undefined || isOver) return tenant
        reading ??= readPage().finally(() => {
          reading = undefined
        })
        await reading
      }
    },
  }
}
