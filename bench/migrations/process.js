// The process that works on all tenants, as a deployment's step does: `migrate` and `check`, with the memory that they took.
import { createTenancy, loadConfig } from 'tenants2fast'
import { serveParent } from '../serve-parent.js'

const { env } = await new Promise((resolve) => process.once('message', resolve))
const quiet = { debug() {}, info() {}, warn() {}, error: (...all) => console.error(...all) }
const tenancy = await createTenancy({ config: loadConfig(env), logger: quiet })

/** Runs `work`, and looks at the resident memory while it runs. */
async function measured(work) {
  globalThis.gc()
  let rssBytes = process.memoryUsage.rss()
  const sampler = setInterval(() => (rssBytes = Math.max(rssBytes, process.memoryUsage.rss())), 20)
  const started = performance.now()
  try {
    const report = await work()
    return { ms: performance.now() - started, rssBytes, report }
  } finally {
    clearInterval(sampler)
  }
}

const commands = {
  async migrate(options) {
    const { report, ...figures } = await measured(() => tenancy.fleet.migrate(options))
    const { failures, ...counts } = report
    return { ...figures, counts, firstError: failures[0]?.error?.message }
  },
  async check(options) {
    const { report, ...figures } = await measured(() => tenancy.fleet.check(options))
    return { ...figures, counts: report }
  },
}

serveParent(tenancy, ({ command, ...options }) => commands[command](options))
