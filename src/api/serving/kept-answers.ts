import type { AccessRules } from '../../core/access/access.js'
import type { RequestContext } from '../../core/context/request-scope.js'
import type { Operation } from '../operation.js'

/** Answers that follow from a context and the rules of access alone (`isOfContext`). */
export interface KeptAnswers {
  /** About how much memory the answers take. */
  readonly bytes: number
  /** Finds the text of an answer; undefined: it has to be made. */
  find(context: RequestContext, operation: Operation): string | undefined
  /** Makes the text of an answer and keeps it. */
  make(context: RequestContext, operation: Operation, work: () => Promise<string | null>): Promise<string | null>
}

interface Kept {
  readonly operation: Operation
  readonly epoch: number
  /** Undefined: others took its place. */
  text: string | undefined
}

/** About 15,000 answers of 2,000 letters. */
const defaultMaxBytes = 64 * 2 ** 20

/**
 * Keeps the last answer of each context with it, so that it goes when the context does: contexts are another object after every
 * change of what they say. What was kept first goes first.
 *
 * @param maxBytes of all. Default: 64 MiB
 */
export function createKeptAnswers(rules: Pick<AccessRules, 'epoch'>, maxBytes = defaultMaxBytes): KeptAnswers {
  const keptOf = new WeakMap<RequestContext, Kept>()
  /** In the order in which they were kept. */
  const all = new Set<Kept>()
  let bytes = 0

  function drop(kept: Kept): void {
    if (!all.delete(kept)) return
    bytes -= bytesOf(kept)
    kept.text = undefined
  }

  function keep(context: RequestContext, kept: Kept): void {
    const earlier = keptOf.get(context)
    if (earlier !== undefined) drop(earlier)
    if (bytesOf(kept) > maxBytes) return
    keptOf.set(context, kept)
    all.add(kept)
    bytes += bytesOf(kept)
    for (const oldest of all) {
      if (bytes <= maxBytes) break
      drop(oldest)
    }
  }

  return {
    get bytes() {
      return bytes
    },
    find(context, operation) {
      const found = keptOf.get(context)
      return found?.operation === operation && found.epoch === rules.epoch ? found.text : undefined
    },
    async make(context, operation, work) {
      // Of before: meanwhile there may be newer rules, which the text may not know.
      const { epoch } = rules
      const text = await work()
      if (text !== null) keep(context, { operation, epoch, text })
      return text
    },
  }
}

function bytesOf({ text = '' }: Kept): number {
  return 200 + 2 * text.length
}
