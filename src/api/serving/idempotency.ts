import { createHmac } from 'node:crypto'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/catalog-outage.js'

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

/** Answers of requests that carried an `Idempotency-Key`, kept for a day. */
export interface IdempotentRequests {
  /**
   * Runs `work` once for a key, and gives its answer to whoever sends the same request with the same key again. A request
   * that fails is forgotten: it may be sent again.
   *
   * @param secrets fields of the answer that are not stored: a replay has null instead. Default: none
   * @returns the answer, and whether it is that of an earlier request
   * @throws {@link TenancyError} TENANCY_REQUEST_KEY_REUSED: for another request; TENANCY_REQUEST_IN_PROGRESS: the first one
   *   is still being answered; TENANCY_CATALOG_UNAVAILABLE
   */
  once(
    request: KeyedRequest,
    work: () => Promise<StoredAnswer>,
    secrets?: readonly string[],
  ): Promise<{ readonly answer: StoredAnswer; readonly isReplay: boolean }>
}

/** A request that has no answer for that long has lost its process. */
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
         or (known.status is null and known.request = excluded.request
             and known.created_at < now() - make_interval(secs => ${lostAfterSeconds}))
    returning true
  )
  select exists (select from taken) as "isTaken", known.request = $2 as "isSame", known.status, known.body
    from (select) as one left join idempotent_requests as known on known.key = $1`

interface BegunRow {
  readonly isTaken: boolean
  readonly isSame: boolean | null
  readonly status: number | null
  readonly body: unknown
}

/** @param secret key of the hashes under which requests are stored */
export function createIdempotentRequests(catalog: SqlPool, secret: Buffer): IdempotentRequests {
  const hash = (...parts: unknown[]) => createHmac('sha256', secret).update(JSON.stringify(parts)).digest()

  return {
    async once({ key, user, operation, content }, work, secrets = []) {
      const id = hash('key', user, operation, key)
      const request = hash('request', content)
      const { rows } = await answered(catalog.query<BegunRow>(begin, [id, request]))
      const found = rows[0]
      if (found?.isTaken !== true) {
        if (found?.isSame === false) throw new TenancyError('TENANCY_REQUEST_KEY_REUSED')
        if (typeof found?.status !== 'number') throw new TenancyError('TENANCY_REQUEST_IN_PROGRESS')
        return { answer: { status: found.status, body: found.body }, isReplay: true }
      }
      let answer: StoredAnswer
      try {
        answer = await work()
      } catch (error) {
        // If this fails as well, the request counts as lost after a minute.
        await catalog.query('delete from idempotent_requests where key = $1', [id]).catch(() => {})
        throw error
      }
      await answered(
        catalog.query('update idempotent_requests set status = $2, body = $3 where key = $1', [
          ...[id, answer.status, JSON.stringify(withoutSecrets(answer.body, secrets))],
        ]),
      )
      return { answer, isReplay: false }
    },
  }
}

const answered = <Answer>(answer: Promise<Answer>) => catalogAnswer(answer, 'requests')

function withoutSecrets(body: unknown, secrets: readonly string[]): unknown {
  if (typeof body !== 'object' || body === null) return body
  return { ...body, ...Object.fromEntries(secrets.map((name) => [name, null])) }
}
