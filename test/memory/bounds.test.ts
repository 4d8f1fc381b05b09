import { generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { operations } from '../../src/api/operations/index.js'
import { createKeptAnswers } from '../../src/api/serving/kept-answers.js'
import { createDirectoryCache } from '../../src/cache/directory-cache.js'
import { createEntry, createEntryStore } from '../../src/cache/entries.js'
import { createSlugQueue } from '../../src/catalog/tenants/slug-queue.js'
import { factsOf } from '../../src/connections/session/statement-effects.js'
import { StatementNames } from '../../src/connections/session/statement-names.js'
import type { MemberDirectory, MemberQuestion } from '../../src/core/access/access.js'
import type { UserDirectory, VerifiedToken } from '../../src/core/identity/identity.js'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { memberRecord } from '../cache/member-record.js'
import { anonymousContext } from '../../src/http/pipeline.js'
import { silentLogger } from '../http/fixture.js'

const source = new URL('../../src/', import.meta.url)
const store = /\bnew (?:Map|Set|LRUCache|WeakMap|WeakSet)\b/g

const local = 'made for one call, of what the call was given'
const constant = 'made when the module is loaded, of what is written there'
const configured = 'made at the start, of the configuration or the application’s definition'
const inFlight = 'one entry for each piece of work under way'
const perConnection = 'one entry for each connection, of which there is a budget'
const perTenant = 'one small entry for each tenant that was served'

/**
 * Every file that makes a map, a set or a cache: how many of them, and what bounds them. Whoever adds one says here what
 * keeps it from growing with what clients send, and tries it below where that is a number.
 */
const bounds: Readonly<Record<string, readonly [count: number, bound: string]>> = {
  'api/limits/memory-counts.ts': [2, '100,000 keys of each kind; those not seen for longest go'],
  'core/access/lookalikes.ts': [1, constant],
  'cache/settings-cache.ts': [1, '2,000 entries and 16 MiB; one larger than that is not kept'],
  'catalog/settings/json-object.ts': [1, local],
  'catalog/settings/settings-schema.ts': [2, local],
  'catalog/settings/tenant-settings.ts': [1, local],
  'access/broken-references.ts': [4, configured],
  'access/compiled-rule-set.ts': [7, 'the rule set, which administrators of the installation write'],
  'access/define-access.ts': [3, configured],
  'access/permission-mask.ts': [1, local],
  'accounts/background-work.ts': [1, inFlight],
  'accounts/http/account-routes.ts': [2, configured],
  'http/messages/answers.ts': [1, 'one entry for each answer that is being sent, held weakly'],
  'http/messages/strict-text.ts': [2, local],
  'accounts/mail/smtp-sender.ts': [1, inFlight],
  'adapters/fastify/bind-websockets.ts': [1, 'one entry for each open WebSocket, held weakly'],
  'adapters/fastify/guards.ts': [2, configured],
  'http/http-request-scope.ts': [1, 'listeners of one request'],
  'http/routes/chain-guard.ts': [1, configured],
  'http/routes/chain-plan.ts': [1, configured],
  'http/routes/unguarded-routes.ts': [2, local],
  'adapters/hono/chain.ts': [1, configured],
  'adapters/hono/request-state.ts': [1, 'one entry for each request under way, held weakly'],
  'adapters/fastify/route-plans.ts': [1, configured],
  'backup/archive-source.ts': [1, local],
  'backup/load-archive.ts': [2, local],
  'backup/structure.ts': [2, local],
  'backup/exports/export-runner.ts': [1, local],
  'backup/exports/folder-storage.ts': [1, local],
  'composition/opening/open-backups.ts': [1, inFlight],
  'databases/copying/fill-database.ts': [4, local],
  'databases/copying/relations.ts': [2, local],
  'cache/changes/coherence.ts': [1, 'listeners of our own'],
  'cache/api-keys/key-cache.ts': [2, '10,000 keys, and 1,000 hashes of 43 letters that no key has'],
  'http/key-admission.ts': [1, 'one context for each cached key, held weakly'],
  'catalog/api-keys/api-keys.ts': [2, local],
  'cache/entries.ts': [3, '10,000 entries and 64 MiB; keys of at most 300 letters'],
  'cache/single-flight.ts': [3, inFlight],
  'cache/changes/follow-notifications.ts': [2, 'heartbeats without an answer, for a second or twice the staleness'],
  'catalog/access/explain.ts': [2, local],
  'api/create-api.ts': [3, configured],
  'api/document.ts': [1, local],
  'api/reference/public-files.ts': [1, 'the files of the page'],
  'api/reference/reference.ts': [1, local],
  'api/serving/kept-answers.ts': [2, 'one answer for each context, held weakly, and 64 MiB'],
  'api/serving/route-table.ts': [3, 'the operations, and local'],
  'catalog/access/member-access.ts': [1, local],
  'catalog/access/provenance.ts': [2, local],
  'catalog/reading/reader-role.ts': [1, local],
  'catalog/invitations/invitations.ts': [1, local],
  'catalog/access/seed/seed.ts': [2, local],
  'catalog/application-locks.ts': [1, 'three locks that the process holds'],
  'cache/host-directory.ts': [2, '10,000 hosts of at most 253 letters, and reads under way'],
  'catalog/domains/public-providers.ts': [1, constant],
  'catalog/domains/email-domains.ts': [1, local],
  'catalog/events/event.ts': [1, constant],
  'catalog/events/event-delivery.ts': [3, 'one small entry for each tenant whose events fail, and local'],
  'catalog/events/event-subscriptions.ts': [2, 'subscriptions of the application'],
  'catalog/members/memberships.ts': [1, local],
  'catalog/prepared-queries.ts': [1, 'statements of our own, by their text'],
  'catalog/tenants/slug-queue.ts': [1, inFlight],
  'catalog/tenants/tenant-labels.ts': [1, local],
  'catalog/users/user-erasure.ts': [1, local],
  'catalog/users/users.ts': [2, configured],
  'composition/observing/activity.ts': [3, local],
  'connections/allocation/busiest-tenants.ts': [1, local],
  'connections/allocation/connection-budget.ts': [1, perConnection],
  'connections/session/client/checked-out-client.ts': [
    2,
    'listeners of whoever has the connection; one class for each copy of pg',
  ],
  'connections/connection-errors.ts': [1, constant],
  'connections/deadlock-watch.ts': [2, perConnection],
  'connections/allocation/deadlock-search.ts': [1, local],
  'connections/opening/connector.ts': [1, perTenant],
  'connections/opening/denials.ts': [1, '10,000 tenants'],
  'connections/opening/open-connections.ts': [2, perConnection],
  'connections/session/schema/schema-effects.ts': [4, '100 entries, of what databases of one schema share'],
  'connections/session/schema/known-fingerprints.ts': [1, '100,000 names in all entries together'],
  'connections/session/schema/schema-effects-cache.ts': [7, perTenant],
  'connections/allocation/idle-connections.ts': [1, perConnection],
  'connections/connection-restorer.ts': [1, perConnection],
  'connections/pooler-check.ts': [1, local],
  'connections/allocation/request-frequency.ts': [1, 'fewer keys than two samples'],
  'connections/session/client/prepared-query.ts': [1, perConnection],
  'connections/queries/query-text.ts': [1, constant],
  'connections/scheduler.ts': [1, perTenant],
  'connections/opening/server-outages.ts': [1, 'one entry for each server'],
  'connections/session/client/session-client-class.ts': [
    2,
    '200 names for each connection; one class for each copy of pg',
  ],
  'connections/session/statement-effects.ts': [7, '2,000 texts of at most 4,096 letters'],
  'connections/session/statement-names.ts': [1, '200 texts of at most 16,384 letters for each connection'],
  'connections/queries/stream-watch.ts': [1, perConnection],
  'connections/queries/submittable.ts': [1, constant],
  'connections/allocation/tenant-queues.ts': [1, 'tenants that somebody waits for'],
  'connections/queries/transaction-control.ts': [1, '256 texts of at most 2,048 letters'],
  'connections/allocation/deficit-round-robin.ts': [1, 'tenants that somebody waits for'],
  'core/config/config-secrets.ts': [1, configured],
  'core/config/setting-problems.ts': [1, local],
  'core/config/database-url.ts': [1, local],
  'core/errors/error-chain.ts': [1, '32 errors of one chain'],
  'postgres/outages/outage.ts': [2, constant],
  'postgres/pool-ender.ts': [2, perConnection],
  'core/refusal-log.ts': [1, 'configured issuers, times a few fixed checks'],
  'core/tenants/slug.ts': [1, constant],
  'postgres/files/sql-files.ts': [1, local],
  'postgres/files/sql-folder.ts': [1, local],
  'postgres/files/sql-ledger.ts': [3, local],
  'schema/folders/drizzle.ts': [1, local],
  'schema/folders/kysely.ts': [1, local],
  'schema/folders/plain-sql.ts': [2, local],
  'schema/folders/sql-migrations.ts': [1, configured],
  'schema/kysely-client.ts': [1, constant],
  'schema/sql-text.ts': [1, constant],
  'schema/tools/drizzle-ledger.ts': [1, configured],
  'schema/tools/kysely-ledger.ts': [1, configured],
  'schema/tools/prisma-ledger.ts': [1, configured],
  'databases/building/build-queue.ts': [1, inFlight],
  'databases/building/database-settings.ts': [2, constant],
  'databases/embedded/exit-guard.ts': [1, 'one entry for each embedded server'],
  'databases/lifecycle/inspection.ts': [3, local],
  'fleet/drift/compare-structures.ts': [3, local],
  'databases/building/server-preparation.ts': [1, 'one list for each start'],
  'databases/migrating/migration-failures.ts': [1, constant],
  'databases/migrating/fleet-migrations.ts': [1, local],
  'databases/migrating/demanded-migrations.ts': [
    3,
    'constant, tenants that are behind and that a request asked for, and 20 that were logged',
  ],
  'composition/schema-demands.ts': [1, '100 tenants at a time'],
  'core/tenants/migration.ts': [1, local],
  'databases/rehearsal/file-recorder.ts': [8, local],
  'databases/rehearsal/rehearsals.ts': [1, local],
  'databases/rehearsal/rehearse-database.ts': [1, local],
  'databases/rehearsal/sample-database.ts': [1, local],
  'fleet/exec-fleet.ts': [1, constant],
  'fleet/lint/checks/check-statement.ts': [2, 'constant, or of one statement'],
  'fleet/lint/checks/columns.ts': [1, constant],
  'fleet/lint/checks/privileges.ts': [1, constant],
  'fleet/lint/checks/removals.ts': [1, constant],
  'fleet/lint/checks/tables.ts': [1, constant],
  'fleet/lint/column-types.ts': [1, constant],
  'fleet/lint/expressions.ts': [2, constant],
  'fleet/lint/lint-file.ts': [6, 'of one file'],
  'fleet/lint/lint-migrations.ts': [1, local],
  'fleet/lint/locks.ts': [1, constant],
  'fleet/lint/schema-model.ts': [8, 'what the files of one folder make'],
  'fleet/rehearse/choose-rehearsed.ts': [2, local],
  'databases/owner/database-state.ts': [1, local],
  'databases/server/lock-keeper.ts': [1, inFlight],
  'databases/watch/server-watcher.ts': [2, 'roles that are connected'],
  'databases/watch/offenders.ts': [1, local],
  'databases/watch/watch-connection.ts': [1, local],

  'cache/request-contexts.ts': [2, '64 MiB, and eight ways of asking for each token'],
  'fleet/create-fleet.ts': [1, inFlight],
  'fleet/run/choose-tenants.ts': [1, 'tenants that a caller has named, 10,000 at most'],
  'fleet/run/run-over-tenants.ts': [1, 'tenants that are created during one run'],
  'fleet/run/transient-errors.ts': [1, constant],
  'http/error-log.ts': [1, local],
  'http/routes/route-guard.ts': [2, configured],
  'identity/safe-issuers.ts': [1, configured],
  'identity/keys/signing-keys.ts': [2, 'the keys that the catalog has'],
  'identity/tenant-claim.ts': [3, 'configured, or of one token'],
  'identity/token-policy.ts': [1, configured],
  'identity/token-verifier.ts': [3, '10,000 tokens and 64 MiB, their claims counted; verifications under way'],
  'identity/keys/usable-key.ts': [1, constant],
}

test('every Map, Set and cache of the sources is in the list with its bound', () => {
  const found: Record<string, number> = {}
  // The command line serves one person, and no client sends it anything.
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !/^cli[\\/]/.test(file),
  )
  for (const file of files) {
    const count = readFileSync(new URL(file, source), 'utf8').match(store)?.length ?? 0
    if (count > 0) found[file.replaceAll('\\', '/')] = count
  }
  expect(Object.keys(found).length).toBeGreaterThan(40)
  expect(found).toEqual(Object.fromEntries(Object.entries(bounds).map(([file, [count]]) => [file, count])))
})

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

async function growthOf(work: () => unknown): Promise<number> {
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  await work()
  collectGarbage()
  return process.memoryUsage().heapUsed - before
}
const mega = 2 ** 20
/** Another text each time, in one piece of memory. */
const long = (length: number): string => randomBytes(length / 2).toString('hex')

describe('input from clients does not fill the memory', () => {
  test('cache entries are bounded in number and bytes, and a too large one is not kept', () => {
    const entries = createEntryStore<object>(100, 1_000_000)
    const basis = { userId: 'u', tenantId: 't', userEpoch: 1, tenantEpoch: 1, endsAtMs: Number.POSITIVE_INFINITY }
    const put = (key: string, bytes: number) => {
      const entry = createEntry({}, bytes, { ...basis, userId: key }, 0)
      entries.set(key, entry)
      return entry
    }
    for (let index = 0; index < 300; index += 1) put(`small ${index}`, 0)
    const kept = (name: string) =>
      Array.from({ length: 300 }, (_, index) => entries.get(`${name} ${index}`)).filter(Boolean)
    expect(kept('small')).toHaveLength(100)
    for (let index = 0; index < 300; index += 1) put(`large ${index}`, 50_000)
    expect(kept('large').length).toBeLessThanOrEqual(20)
    expect(kept('large').length).toBeGreaterThan(15)
    const before = put('huge', 10)
    expect(put('huge', 200_000).isEvicted).toBe(true)
    expect([before.isEvicted, entries.get('huge')]).toEqual([true, undefined])
    // News of what was not kept reaches nothing.
    entries.markStale('huge', 5)
  })

  test(
    'users and members: subjects of issuers and lists of roles as long as they may be',
    { timeout: 60_000 },
    async () => {
      const coherence = { maxStalenessMs: 60_000, confirmedAtMs: Number.POSITIVE_INFINITY, subscribe: () => () => {} }
      const at = new Date()
      const userOf = (id: string) => ({
        user: {
          id,
          email: 'a@example.com',
          name: long(4096),
          image: null,
          emailVerified: true,
          disabledAt: null,
          createdAt: at,
          updatedAt: at,
        },
        tokenEpoch: 1,
        tokensValidAfter: 0,
        accessEpoch: 1,
      })
      const users: UserDirectory = {
        findUsersById: async (ids) => ids.map(userOf),
        findUserByIdentity: async () => userOf(randomUUID()),
        createUserFromToken: async () => undefined,
      }
      const members = {
        async findMembers(questions: readonly MemberQuestion[]) {
          return questions.map(({ userId }) => {
            const record = memberRecord(userId, randomUUID())
            return { ...record, grants: { ...record.grants, roles: Array.from({ length: 100 }, () => long(100)) } }
          })
        },
      } as unknown as MemberDirectory
      const cache = createDirectoryCache({ users, members, coherence, maxBytes: 4 * mega })
      const grown = await growthOf(async () => {
        for (let index = 0; index < 3000; index += 1) {
          const token = { isOwn: false, issuer: 'https://issuer', subject: long(8192) } as VerifiedToken
          const user = await cache.findUser(token, performance.now())
          if (user === undefined) throw new Error('Every user is found')
          await cache.findMember(user, { kind: 'slug', value: 'acme' }, performance.now())
        }
      })
      // 3,000 users of 4 KB under keys of 8 KB, and members of 10 KB: 66 MB.
      expect(grown).toBeLessThan(14 * mega)
      cache.close()
    },
  )

  test('verified tokens are bounded by their bytes', { timeout: 60_000 }, async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const keys = { generation: 0, isCurrent: () => true, findKey: async () => publicKey as never }
    const verifier = createTokenVerifier({
      own: { issuer: 'https://own', audience: 'here', keys },
      logger: silentLogger,
    })
    const nowSeconds = Math.floor(Date.now() / 1000)
    const tokenOf = (padding: string) => {
      const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
      const claims = {
        iss: 'https://own',
        aud: 'here',
        sub: randomUUID(),
        jti: randomUUID(),
        epoch: 1,
        iat: nowSeconds,
        exp: nowSeconds + 900,
        padding,
      }
      const signed = `${encode({ alg: 'EdDSA', typ: 'at+jwt', kid: 'k' })}.${encode(claims)}`
      return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`
    }
    const first = tokenOf(long(5000))
    const verified = await verifier.verify(first)
    expect(verifier.verify(first)).toBe(verified)
    const grown = await growthOf(async () => {
      for (let index = 0; index < 6000; index += 1) await verifier.verify(tokenOf(long(5000)))
    })
    // 6,000 tokens of 7 KB and their claims: 75 MB. What is kept is counted as 64 MiB, generously: 35 MB at most.
    expect(grown).toBeLessThan(40 * mega)
    expect(verifier.verify(first)).toBeInstanceOf(Promise)
    await verifier.verify(first)
  })

  test('kept answers are bounded in bytes, also those of contexts that live; the oldest go, and one too large is not kept', async () => {
    const [operation] = operations
    const answers = createKeptAnswers({ epoch: 1 }, 100_000)
    const contexts = Array.from({ length: 1000 }, () => ({ ...anonymousContext }))
    const keep = (index: number, letters: number) =>
      answers.make(contexts[index]!, operation!, async () => 'x'.repeat(letters))
    const grown = await growthOf(async () => {
      for (const index of contexts.keys()) expect(await keep(index, 9900)).toHaveLength(9900)
    })
    expect(grown).toBeLessThan(2 * mega)
    expect(answers.bytes).toBe(100_000)
    const kept = () =>
      contexts.flatMap((context, index) => (answers.find(context, operation!) === undefined ? [] : [index]))
    expect(kept()).toEqual([995, 996, 997, 998, 999])
    // Another one of the same context takes the place of the earlier one.
    for (let index = 0; index < 100; index += 1) await keep(996, 9900)
    expect([answers.bytes, kept()]).toEqual([100_000, [995, 996, 997, 998, 999]])
    await keep(0, 60_000)
    expect([answers.bytes, kept()]).toEqual([100_000, [995, 996, 997, 998, 999]])
  })

  test('refused tokens are not cached', async () => {
    const verifier = createTokenVerifier({ logger: silentLogger })
    const grown = await growthOf(() => {
      for (let index = 0; index < 3000; index += 1) {
        expect(() => verifier.verify(`${long(4000)}.${long(2000)}.${long(100)}`)).toThrow()
      }
    })
    expect(grown).toBeLessThan(3 * mega)
  })

  test('facts and names are kept for a bounded number of short statement texts', async () => {
    const names = new StatementNames(() => {})
    const grown = await growthOf(() => {
      for (let index = 0; index < 2000; index += 1) {
        const text = `select 1 /* ${long(40_000)} */`
        factsOf(text)
        names.nameFor(text)
        names.nameFor(text)
      }
    })
    // 2,000 texts of 40 KB: 80 MB.
    expect(grown).toBeLessThan(6 * mega)
    const repeated = 'select $1::int'
    expect([names.nameFor(repeated), names.nameFor(repeated)]).toEqual([undefined, expect.stringMatching(/^t2f_/)])
    const short = await growthOf(() => {
      for (let index = 0; index < 20_000; index += 1) factsOf(`select ${index} /* ${long(3000)} */`)
    })
    // 20,000 of 3 KB: 60 MB; 2,000 of them: 6 MB.
    expect(short).toBeLessThan(14 * mega)
  })

  test('slugs of tenants under creation are forgotten afterwards', async () => {
    const queue = createSlugQueue()
    const grown = await growthOf(async () => {
      for (let index = 0; index < 2000; index += 1) await queue.run(long(10_000), async () => {})
    })
    expect(grown).toBeLessThan(3 * mega)
  })
})
