import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { type BrokenAnchor, findBrokenAnchors } from './anchors.js'
import { findAlteredAddresses } from './addresses.js'
import { chainOf, installationChain } from './chains.js'
import { findAlteredPart } from './personal.js'
import { hashedColumns, type HashedEntry, hashEntry } from './entry-hash.js'
import { inTransaction } from '../transaction.js'

/** The first fault of a chain. */
export interface AuditProblem {
  /** null: the installation's chain. */
  readonly tenantId: string | null
  /** Place in the chain of the first bad entry, which is wrong or missing. */
  readonly seq: number
  /** `audit_log.id` of the bad row; null: the row is missing. */
  readonly entryId: string | null
  /**
   * `altered`: the row is not the one that was written, or does not follow the one before it. `missing`: there is a gap.
   * `truncated`: the last entries, or all of them, were cut off, as the head or an anchor shows. `unknown`: the row is not
   * covered by the chain's head. `head-missing`: the chain's head was deleted.
   */
  readonly kind: 'altered' | 'missing' | 'truncated' | 'unknown' | 'head-missing'
}

/** Result of {@link verifyChains}. */
export interface AuditVerification {
  readonly isIntact: boolean
  /** Number of chains that have entries. */
  readonly chains: number
  readonly entries: number
  /** One fault for each bad chain; the installation's comes first. */
  readonly problems: readonly AuditProblem[]
}

interface ChainRow extends HashedEntry {
  readonly chain: string
  readonly hash: Buffer
  /** null: the chain has no head. */
  readonly headLength: string | null
  readonly headHash: Buffer | null
}

const batchSize = 1000

const batchQuery = `
  select ${chainOf}::text as chain, ${hashedColumns}, entry.hash, head.length::text as "headLength", head.hash as "headHash"
  from audit_log as entry left join audit_chains as head on head.chain_id = ${chainOf}
  where ($1::uuid is null or (${chainOf}, entry.seq) > ($1, $2::bigint)) and ($3::uuid is null or ${chainOf} = $3)
  order by ${chainOf}, entry.seq limit ${batchSize}`

// Finds chains that the rows alone do not reveal: those without entries and those without a head. Every tenant has a head
// from the start.
const rowlessQuery = `
  with expected (chain_id) as (
    select chain_id from audit_chains union select id from tenants union select '${installationChain}'::uuid
  )
  select expected.chain_id::text as chain, head.chain_id is null as "isHeadless"
  from expected left join audit_chains as head using (chain_id)
  where ($1::uuid is null or expected.chain_id = $1) and (head.length > 0 or head.chain_id is null)
    and not exists (select from audit_log as entry where ${chainOf} = expected.chain_id)
  order by expected.chain_id`

/** Verifies all chains of the audit log, or one: computes every hash again. */
export async function verifyChains(catalog: SqlPool, only?: string): Promise<AuditVerification> {
  // One snapshot, so that heads and rows belong together while other transactions write.
  const verify = async (client: SqlClient): Promise<AuditVerification> => {
    const problems: AuditProblem[] = []
    let chains = 0
    let entries = 0
    let chain: Chain | undefined
    const finish = () => {
      const problem = chain?.finish()
      if (problem !== undefined) problems.push(problem)
    }
    for await (const row of readRows(client, only)) {
      if (row.chain !== chain?.id) {
        finish()
        chain = new Chain(row)
        chains += 1
      }
      chain.follow(row)
      entries += 1
    }
    finish()
    const { rows } = await client.query<{ chain: string; isHeadless: boolean }>(rowlessQuery, [only ?? null])
    for (const rowless of rows) {
      const kind = rowless.isHeadless ? 'head-missing' : 'truncated'
      problems.push({ tenantId: tenantOf(rowless.chain), seq: 1, entryId: null, kind })
    }
    if (only !== installationChain) {
      for (const anchor of await findBrokenAnchors(client, only)) addAnchor(problems, anchor)
    }
    if (only === undefined || only === installationChain) {
      const part = await findAlteredPart(client)
      if (part !== undefined) addProblem(problems, { tenantId: null, ...part, kind: 'altered' })
    }
    for (const { chain: id, ...part } of await findAlteredAddresses(client, only)) {
      addProblem(problems, { tenantId: tenantOf(id), ...part, kind: 'altered' })
    }
    const sorted = problems.toSorted((a, b) => compare(a.tenantId ?? '', b.tenantId ?? ''))
    return { isIntact: sorted.length === 0, chains, entries, problems: sorted }
  }
  return inTransaction(catalog, verify, { isSnapshot: true })
}

async function* readRows(client: SqlClient, only: string | undefined): AsyncGenerator<ChainRow> {
  let after: readonly [string | null, string | null] = [null, null]
  for (;;) {
    const { rows } = await client.query<ChainRow>(batchQuery, [...after, only ?? null])
    yield* rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < batchSize) return
    after = [last.chain, last.seq]
  }
}

/** The verification of one chain, from its first row to its head. */
class Chain {
  readonly id: string
  readonly #head: { readonly length: bigint; readonly hash: Buffer } | undefined
  #length = 0n
  #hash: Buffer = Buffer.alloc(0)
  #problem: AuditProblem | undefined

  constructor({ chain, headLength, headHash }: ChainRow) {
    this.id = chain
    if (headLength !== null && headHash !== null) this.#head = { length: BigInt(headLength), hash: headHash }
  }

  follow(row: ChainRow): void {
    if (this.#problem !== undefined) return
    const expected = this.#length + 1n
    const seq = BigInt(row.seq)
    if (seq < expected) this.#found(seq, row.id, 'altered')
    else if (seq > expected) this.#found(expected, null, 'missing')
    else if (!hashEntry(this.#hash, row).equals(row.hash)) this.#found(seq, row.id, 'altered')
    else if (this.#head !== undefined && seq > this.#head.length) this.#found(seq, row.id, 'unknown')
    this.#length = seq
    this.#hash = row.hash
  }

  finish(): AuditProblem | undefined {
    const head = this.#head
    if (this.#problem !== undefined) return this.#problem
    if (head === undefined) this.#found(this.#length, null, 'head-missing')
    else if (this.#length < head.length) this.#found(this.#length + 1n, null, 'truncated')
    // Every hash follows from the one before it, but the last one differs from the head: the chain was forged from some
    // place on.
    else if (!this.#hash.equals(head.hash)) this.#found(this.#length, null, 'altered')
    return this.#problem
  }

  #found(seq: bigint, entryId: string | null, kind: AuditProblem['kind']): void {
    this.#problem = { tenantId: tenantOf(this.id), seq: Number(seq), entryId, kind }
  }
}

/** Adds the fault that an anchor shows, unless an earlier fault of the chain is known. */
function addAnchor(problems: AuditProblem[], { chain, seq, entries, entryId }: BrokenAnchor): void {
  const found: AuditProblem =
    entryId === null
      ? { tenantId: chain, seq: entries + 1, entryId, kind: 'truncated' }
      : { tenantId: chain, seq, entryId, kind: 'altered' }
  addProblem(problems, found)
}

/** Adds a fault, unless an earlier fault of the chain is known. */
function addProblem(problems: AuditProblem[], found: AuditProblem): void {
  const at = problems.findIndex(({ tenantId }) => tenantId === found.tenantId)
  if (at === -1) problems.push(found)
  else if (found.seq < (problems[at]?.seq ?? 0)) problems[at] = found
}

function tenantOf(chain: string): string | null {
  return chain === installationChain ? null : chain
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
