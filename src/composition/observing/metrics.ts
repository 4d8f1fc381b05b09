import type { TenancyStats } from './stats.js'

/** How {@link renderMetrics} renders. */
export interface RenderMetricsOptions {
  /**
   * Adds the busiest tenants, with their slugs as labels. It shows every reader who your tenants are, and makes a time series
   * for each tenant that was ever among them. Default: false.
   */
  readonly tenants?: boolean
}

interface Metric {
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly samples: readonly { readonly labels?: string; readonly value: number }[]
}

/**
 * Renders the numbers of this process in the text format of Prometheus (version 0.0.4, also read by OpenMetrics scrapers).
 * Serve it as `text/plain; version=0.0.4`.
 *
 * @example
 * app.get('/metrics', { config: { tenancy: 'none' } }, async (_request, reply) =>
 *   reply.type('text/plain; version=0.0.4; charset=utf-8').send(renderMetrics(tenancy)),
 * )
 */
export function renderMetrics(
  tenancy: { stats(): TenancyStats },
  { tenants: withTenants = false }: RenderMetricsOptions = {},
): string {
  const stats = tenancy.stats()
  const metrics: Metric[] = [
    gauge(
      'connections_max',
      'Budget of connections to tenant databases (TENANT_MAX_CONNECTIONS).',
      stats.maxConnections,
    ),
    {
      name: 'connections',
      type: 'gauge',
      help: 'Connections to tenant databases by state; closing ones count as connections until the server let go of them.',
      samples: [
        { labels: label('state', 'in_use'), value: stats.inUse },
        { labels: label('state', 'idle'), value: stats.idle },
        { labels: label('state', 'connecting'), value: stats.connecting },
      ],
    },
    gauge('connections_open', 'Connections that the server may hold for this process.', stats.open),
    gauge('connection_waiters', 'Callers that wait for a connection.', stats.waiting),
    counter('connections_opened', 'Connections opened.', stats.opened),
    counter('connections_closed', 'Connections closed.', stats.closed),
    counter('connection_evictions', 'Connections closed to make room for another tenant.', stats.evictions),
    counter(
      'connection_rejections',
      'Callers refused because of a full queue, a deadline or a deadlock.',
      stats.rejected,
    ),
    counter('connection_failures', 'Connections that could not be opened.', stats.connectFailures),
    counter(
      'identity_mismatches',
      'Connections that reached a wrong database. Alert on any.',
      stats.identityMismatches,
    ),
    counter(
      'roles_restored',
      'Times that a role of a tenant had changed itself and was restored.',
      stats.rolesRestored,
    ),
  ]
  if (stats.sharedCache !== undefined) {
    const { hits, misses, refused, failures } = stats.sharedCache
    metrics.push(
      {
        name: 'shared_cache_reads_total',
        type: 'counter',
        help: 'Reads of Redis by result. Alert on refused: another program writes there.',
        samples: [
          { labels: label('result', 'hit'), value: hits },
          { labels: label('result', 'miss'), value: misses },
          { labels: label('result', 'refused'), value: refused },
        ],
      },
      counter(
        'shared_cache_failures',
        'Answers of Redis that came too late, and connections that were lost.',
        failures,
      ),
    )
  }
  if (withTenants) {
    const perTenant = (name: string, help: string, valueOf: (tenant: TenancyStats['tenants'][number]) => number) => {
      const samples = stats.tenants.map((tenant) => ({ labels: label('tenant', tenant.slug), value: valueOf(tenant) }))
      metrics.push({ name, type: 'gauge', help, samples })
    }
    perTenant('tenant_connections', 'Connections of the busiest tenants.', (tenant) => tenant.connections)
    perTenant('tenant_connection_waiters', 'Callers of the busiest tenants that wait.', (tenant) => tenant.waiting)
    perTenant(
      'tenant_connection_used_seconds',
      'Connection time of the busiest tenants since they last had no connection.',
      (tenant) => tenant.usedMs / 1000,
    )
  }
  return metrics.map(render).join('')
}

function gauge(name: string, help: string, value: number): Metric {
  return { name, type: 'gauge', help, samples: [{ value }] }
}

function counter(name: string, help: string, value: number): Metric {
  return { name: `${name}_total`, type: 'counter', help, samples: [{ value }] }
}

function label(name: string, value: string): string {
  const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
  return `{${name}="${escaped}"}`
}

function render({ name, type, help, samples }: Metric): string {
  const lines = samples.map(({ labels = '', value }) => `tenants2fast_${name}${labels} ${value}\n`)
  return `# HELP tenants2fast_${name} ${help}\n# TYPE tenants2fast_${name} ${type}\n${lines.join('')}`
}
