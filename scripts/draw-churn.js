// Draws what `T2F_BENCH_SAMPLES=FILE npm run bench -- churn` measured: `node scripts/draw-churn.js FILE > docs/churn.svg`.
import { readFileSync } from 'node:fs'

const { tenants, connections, variants } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const titles = {
  tenants2fast: 'tenants2fast',
  'pool-per-tenant-lru': 'a pool of 5 per tenant, LRU',
  'one-connection-pools-lru': 'a pool of 1 per tenant, LRU',
  pgbouncer: 'PgBouncer, a pool per tenant behind it',
}
const size = { width: 760, panel: 150, left: 56, right: 250, top: 58, gap: 44 }
const plotWidth = size.width - size.left - size.right
const endMs = Math.max(...variants.flatMap(({ samples }) => samples.map(({ ms }) => ms)))
const most = Math.max(connections, ...variants.flatMap(({ samples }) => samples.map((sample) => sample.connections)))
const x = (ms) => (size.left + (ms / endMs) * plotWidth).toFixed(1)
const height = size.top + variants.length * (size.panel + size.gap)

function panel({ name, rate, p50, p99, samples, churnFromMs }, index) {
  const bottom = size.top + index * (size.panel + size.gap) + size.panel
  const y = (count) => (bottom - (count / (most * 1.1)) * size.panel).toFixed(1)
  // Counted at moments, so drawn as steps.
  const line = samples.map((sample, at) => {
    const point = `${x(sample.ms)},${y(sample.connections)}`
    return at === 0 ? `M${point}` : `H${x(sample.ms)}V${y(sample.connections)}`
  })
  const textX = size.width - size.right + 16
  const peak = Math.max(...samples.map((sample) => sample.connections))
  return `
  <g>
    <text x="${size.left}" y="${bottom - size.panel - 8}" class="title">${titles[name] ?? name}</text>
    <path d="M${size.left},${bottom}H${size.left + plotWidth}" class="axis"/>
    <path d="M${size.left},${y(connections)}H${size.left + plotWidth}" class="budget"/>
    <text x="${size.left - 8}" y="${Number(y(connections)) + 4}" class="tick" text-anchor="end">${connections}</text>
    <text x="${size.left - 8}" y="${bottom + 4}" class="tick" text-anchor="end">0</text>
    <path d="M${x(churnFromMs)},${bottom}V${bottom - size.panel}" class="mark"/>
    <text x="${size.left + 4}" y="${bottom + 16}" class="tick">one tenant</text>
    <text x="${Number(x(churnFromMs)) + 4}" y="${bottom + 16}" class="tick">${tenants} tenants</text>
    <path d="${line.join('')}" class="line"/>
    <text x="${textX}" y="${bottom - 84}" class="figure">${Math.round(rate)} queries/s</text>
    <text x="${textX}" y="${bottom - 58}" class="note">p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(0)} ms</text>
    <text x="${textX}" y="${bottom - 38}" class="note">at most ${peak} connections</text>
  </g>`
}

process.stdout.write(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${height}" role="img"
  aria-label="Connections on the server over time, for each way to reach ${tenants} tenant databases">
  <style>
    text { font-family: system-ui, sans-serif; fill: #24292f }
    .title { font-size: 14px; font-weight: 600 } .figure { font-size: 22px; font-weight: 600 }
    .note { font-size: 13px } .tick { font-size: 11px; fill: #57606a }
    .axis { stroke: #8c959f } .budget { stroke: #cf222e; stroke-dasharray: 5 4; fill: none }
    .mark { stroke: #8c959f; stroke-dasharray: 2 3 } .line { stroke: #0969da; stroke-width: 1.5; fill: none }
    svg { background: #ffffff }
  </style>
  <text x="${size.left}" y="24" class="note">Connections that PostgreSQL has, over ${(endMs / 1000).toFixed(0)} s (red: the budget).
    Point reads and writes, Zipf 1.0, 64 at a time.</text>${variants.map(panel).join('')}
</svg>
`)
