import { createHmac } from 'node:crypto'
import type { KeyedRequestMark } from '../../core/context/request-scope.js'
import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import type { LostRequest } from '../operation.js'

/** What an operation answered. */
export interface StoredAnswer {
  readonly status: number
  /** The document, as it was sent; null: none. */
  readonly body: unknown
}

/** The request that a key is used for. */
export interface KeyedRequest {
  /** The header `Idempotency-Key`. */
  readonly key: string
  /** Id of the user who calls. */
  readonly user: string
  readonly operation: string
  /** Everything that the answer depends on: parameters, query and body, checked. */
  readonly content: unknown
}

/** What a keyed request does. */
export interface KeyedWork {
  /** What the audit log calls its change, if that is noted. Default: it is not. */
  readonly action: string | undefined
  /** Fields of the answer that are not stored: a replay has null instead. */
  readonly secrets: readonly string[]
  readonly run: (keyed: KeyedRequestMark | undefined) => Promise<StoredAnswer>
  /** Makes the answer of an earlier request that has not stored one, if that has changed something. */
  recover(lost: LostRequest): Promise<StoredAnswer | undefined>
}

/** Answers of requests that carried an `Idempotency-Key`, kept for a day. */
export interface IdempotentRequests {
  /**
   * Runs `work` once for a key, and gives its answer to whoever sends the same request with the same key again, also when the
   * process that ran it has ended after its change. A request that has changed nothing is forgotten: it may be sent again.
   *
   * @returns the answer, and whether it is that of an earlier request
   * @throws {@link TenancyError} TENANCY_REQUEST_KEY_REUSED: for another request; TENANCY_REQUEST_IN_PROGRESS: the first one
   *   is still being answered; TENANCY_CATALOG_UNAVAILABLE
   */
  once(request: KeyedRequest, work: KeyedWork): Promise<{ readonly answer: StoredAnswer; readonly isReplay: boolean }>
}

/** A request that has no answer for that long, and has changed nothing, has lost its process. */
const lostAfterSeconds = 60

// What is older than a day goes along with new ones, some at a time.
const begin = `
  with old as (
    delete from idempotent_requests where key in (
      select key from idempotent_requests where created_at < now() - interval '1 day' limit 20 for update skip locked)
  ), taken as (
    insert into idempotent_requests as known (key, request) values ($1, $2)
    on conflict (key) do update set request = excluded.request, status = null, body = null, created_at = now()
      where known.created_at < now() - interval '1 day'
    returning created_at
  )
  select (select created_at::text from taken) as "takenAt", known.request = $2 as "isSame", known.status, known.body,
      known.created_at::text as "begunAt", floor(extract(epoch from known.created_at) * 1000)::float8 as "begunAtMs"
    from (select) as one left join idempotent_requests as known on known.key = $1`

// Nobody else has done so, and nothing was changed meanwhile.
const takeOver = `
  update idempotent_requests set created_at = now()
  where key = $1 and created_at = $2::timestamptz and created_at < now() - make_interval(secs => ${lostAfterSeconds})
    and status is null and body is null
  returning created_at::text as "takenAt"`

interface BegunRow {
  /** null: somebody else has begun it. */
  readonly takenAt: string | null
  readonly isSame: boolean | null
  readonly status: number | null
  readonly body: unknown
  readonly begunAt: string | null
  readonly begunAtMs: number | null
}

/** @param secret key of the hashes under which requests are stored */
export function createIdempotentRequests(catalog: SqlPool, secret: Buffer): IdempotentRequests {
  const hash = (...parts: unknown[]) => createHmac('sha256', secret).update(JSON.stringify(parts)).digest()

  async function store(id: Buffer, begunAt: string, { status, body }: StoredAnswer, secrets: readonly string[]) {
    const shown = withoutSecrets(body, secrets)
    await answered(
      catalog.query(
        'update idempotent_requests set status = $3, body = $4 where key = $1 and created_at = $2::timestamptz',
        [...[id, begunAt, status, JSON.stringify(shown)]],
      ),
    )
    return { status, body: shown }
  }

  async function runFirst(id: Buffer, begunAt: string, { action, secrets, run }: KeyedWork): Promise<StoredAnswer> {
    let answer: StoredAnswer
    try {
      answer = await run(action === undefined ? undefined : { key: id, begunAt, action })
    } catch (error) {
      // What was changed stays noted, unless the caller is to do it again. If this fails, the request is lost after a minute.
      const isToRepeat = isTenancyError(error, 'TENANCY_INVITATION_NOT_SENT')
      const text = `delete from idempotent_requests
        where key = $1 and created_at = $2::timestamptz and status is null and (body is null or $3)`
      await catalog.query(text, [id, begunAt, isToRepeat]).catch(() => {})
      throw error
    }
    await store(id, begunAt, answer, secrets)
    return answer
  }

  return {
    async once({ key, user, operation, content }, work) {
      const id = hash('key', user, operation, key)
      const { rows } = await answered(catalog.query<BegunRow>(begin, [id, hash('request', content)]))
      const found = rows[0]
      if (typeof found?.takenAt === 'string') {
        return { answer: await runFirst(id, found.takenAt, work), isReplay: false }
      }
      if (found?.isSame === false) throw new TenancyError('TENANCY_REQUEST_KEY_REUSED')
      if (typeof found?.status === 'number')
        return { answer: { status: found.status, body: found.body }, isReplay: true }
      // Begun in the same moment by somebody else.
      if (typeof found?.begunAt !== 'string') throw new TenancyError('TENANCY_REQUEST_IN_PROGRESS')
      const { begunAt } = found
      const made = madeBy(found.body)
      const mayHaveMade = made !== undefined || work.action === undefined
      const recovered = mayHaveMade ? await work.recover({ made, begunAt: new Date(found.begunAtMs ?? 0) }) : undefined
      if (recovered !== undefined) {
        return { answer: await store(id, begunAt, recovered, work.secrets), isReplay: true }
      }
      const { rows: taken } = await answered(catalog.query<{ takenAt: string }>(takeOver, [id, begunAt]))
      if (taken[0] === undefined) throw new TenancyError('TENANCY_REQUEST_IN_PROGRESS')
      return { answer: await runFirst(id, taken[0].takenAt, work), isReplay: false }
    },
  }
}

/** What follows the kind in the subject of a change: `role:<id>`. */
function madeBy(noted: unknown): string | undefined {
  const subject = (noted as { readonly subject?: unknown } | null)?.subject
  return typeof subject === 'string' ? subject.slice(subject.indexOf(':') + 1) : undefined
}

const answered = <Answer>(answer: Promise<Answer>) => catalogAnswer(answer, 'requests')

function withoutSecrets(body: unknown, secrets: readonly string[]): unknown {
  if (typeof body !== 'object' || body === null) return body
  return { ...body, ...Object.fromEntries(secrets.map((name) => [name, null])) }
}
