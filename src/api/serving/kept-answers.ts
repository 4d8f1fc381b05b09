import type { AccessRules } from '../../core/access/access.js'
import type { RequestContext } from '../../core/context/request-scope.js'
import type { Operation } from '../operation.js'

/** Answers that follow from a context and the rules of access alone (`isOfContext`). */
export interface KeptAnswers {
  /** Finds the text of an answer; undefined: it has to be made. */
  find(context: RequestContext, operation: Operation): string | undefined
  /** Makes the text of an answer and keeps it. */
  make(context: RequestContext, operation: Operation, work: () => Promise<string | null>): Promise<string | null>
}

interface Kept {
  readonly operation: Operation
  readonly epoch: number
  readonly text: string
}

/**
 * Keeps the last answer of each context with it, so that it goes when the context does: contexts are bounded, and another object
 * after every change of what they say.
 */
export function createKeptAnswers(rules: Pick<AccessRules, 'epoch'>): KeptAnswers {
  const kept = new WeakMap<RequestContext, Kept>()
  return {
    find(context, operation) {
      const found = kept.get(context)
      return found?.operation === operation && found.epoch === rules.epoch ? found.text : undefined
    },
    async make(context, operation, work) {
      // Of before: meanwhile there may be newer rules, which the text may not know.
      const { epoch } = rules
      const text = await work()
      if (text !== null) kept.set(context, { operation, epoch, text })
      return text
    },
  }
}
