// Whether the time of an answer tells who has an account: requests for addresses with and without one take turns at random.
// The figure is the AUC, the chance that a request of the one kind takes longer than one of the other: 0.5 tells nothing. With
// N requests of each kind it scatters by about 0.4 / sqrt(N). "The next request" is one for a page, sent after each answer.
//
//   T2F_BENCH_REQUESTS   of each kind, about (default 2000)
//   T2F_BENCH_ONLY       one of: forgot, resend, register, login
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import pg from 'pg'
import { createAccounts } from '../dist/accounts/index.js'
import { tenancyPlugin } from '../dist/adapters/fastify/index.js'
import { createTenancy, loadConfig } from '../dist/index.js'
import { withServer } from './database.js'

const count = Number(process.env.T2F_BENCH_REQUESTS ?? 2000)
const users = 1000
const password = 'correct horse battery'
const loose = { count: 1_000_000_000, windowSeconds: 3600 }
const mailing = { perAddress: loose, mailsPerAccount: loose }
const login = { perAddress: loose, perAccountAndAddress: loose, withSuccesses: loose, perAccount: loose }

const kinds = {
  forgot: (email) => ['/auth/password/forgot', { email }],
  resend: (email) => ['/auth/verify-email/resend', { email }],
  register: (email) => ['/auth/register', { email, password }],
  login: (email) => ['/auth/login', { email, password: 'a wrong password' }],
}

export function run() {
  return withServer(async (url) => {
    const config = loadConfig({
      TENANT_DATABASE_URL: url,
      TENANT_READY_DATABASES: '0',
      TENANT_ACCOUNTS_LIMITS: JSON.stringify({ login, register: mailing, reset: mailing, resend: mailing }),
    })
    const tenancy = await createTenancy({ config })
    // About what handing a mail to a server nearby takes.
    const accounts = await createAccounts({ tenancy, mail: { send: () => sleep(5), close: async () => {} } })
    const app = Fastify()
    await app.register(tenancyPlugin, { tenancy, accounts })
    await app.listen({ port: 0, host: '127.0.0.1' })
    await addUsers(url, config.catalogDatabase)
    const send = sender(app.server.address().port)
    const figures = []
    try {
      for (const [kind, ask] of Object.entries(kinds)) {
        if (process.env.T2F_BENCH_ONLY && process.env.T2F_BENCH_ONLY !== kind) continue
        const times = { known: [], unknown: [], afterKnown: [], afterUnknown: [] }
        // In an order that nothing foretells: in pairs, each kind would mostly follow the other and pay for what it left behind.
        for (let index = -100; index < 2 * count; index += 1) {
          const isKnown = Math.random() < 0.5
          // As many of either kind, so that each is asked for again as often and leaves as many rows.
          const email = `${isKnown ? 'user' : 'none'}${Math.floor(Math.random() * users)}@example.com`
          const answer = await send('POST', ...ask(email))
          const next = await send('GET', '/auth/verify-email?token=x')
          if (index < 0) continue
          times[isKnown ? 'known' : 'unknown'].push(answer)
          times[isKnown ? 'afterKnown' : 'afterUnknown'].push(next)
        }
        figures.push(figureOf(`${kind}, the answer`, times.known, times.unknown))
        figures.push(figureOf(`${kind}, the next request`, times.afterKnown, times.afterUnknown))
      }
    } finally {
      await app.close()
      await tenancy.close()
    }
    return figures
  })
}

async function addUsers(url, database) {
  const address = new URL(url)
  address.pathname = `/${database}`
  const catalog = new pg.Client({ connectionString: address.href })
  await catalog.connect()
  const { hash } = await import('@node-rs/argon2')
  const stored = await hash(password, { memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 })
  await catalog.query(
    `with made as (
       insert into users (email, name, email_verified)
         select 'user' || n || '@example.com', 'Ada', true from generate_series(0, $1 - 1) n returning id
     )
     insert into user_credentials (user_id, provider_id, account_id, password) select id, 'credential', id::text, $2 from made`,
    [users, stored],
  )
  await catalog.query('analyze users; analyze user_credentials')
  await catalog.end()
}

function sender(port) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return (method, path, json) =>
    new Promise((resolve, reject) => {
      const body = json && JSON.stringify(json)
      const headers = body ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } : {}
      const sent = request({ agent, port, host: '127.0.0.1', method, path, headers })
      sent.on('error', reject)
      sent.on('response', (response) => {
        response.resume()
        response.on('end', () => resolve(performance.now() - started))
      })
      const started = performance.now()
      sent.end(body)
    })
}

function figureOf(name, known, unknown) {
  const median = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)].toFixed(3)
  return {
    name: `${name}: AUC (${known.length} known, ${unknown.length} unknown)`,
    value: Math.max(auc(known, unknown), 1 - auc(known, unknown)).toFixed(3),
    unit: '',
    baseline: '0.5',
    against: `nothing told; medians ${median(known)} ms known, ${median(unknown)} ms unknown`,
    ratio: (auc(known, unknown) / 0.5).toFixed(3),
    goal: '<= 0.52',
  }
}

/** Mann-Whitney: the share of pairs in which the one of `ones` is the larger. */
function auc(ones, others) {
  const all = [...ones.map((time) => [time, 1]), ...others.map((time) => [time, 0])].toSorted(([a], [b]) => a - b)
  let ranks = 0
  all.forEach(([, isOne], index) => {
    ranks += isOne ? index + 1 : 0
  })
  return (ranks - (ones.length * (ones.length + 1)) / 2) / (ones.length * others.length)
}
