import type { VerifiedToken } from '../core/identity/identity.js'
import type { RememberedContext, RequestContexts } from '../core/request-path.js'

interface Shelf {
  contexts: readonly RememberedContext[]
  bytes: number
}

/** The context, its compiled access and the names. */
const contextBytes = 800

/** About 15,000 tokens with one way of asking each. */
const defaultMaxBytes = 64 * 2 ** 20

/**
 * Makes an empty store. What was put in first goes first: to look something up costs no more than a look-up.
 *
 * @param maxBytes counts what a context rests on as if nobody else had it. Default: 64 MiB
 */
export function createRequestContexts(maxBytes = defaultMaxBytes): RequestContexts {
  const shelves = new WeakMap<VerifiedToken, Shelf>()
  /** In the order in which they were filled. They hold their tokens, too: contexts do. */
  const filled = new Set<Shelf>()
  let bytes = 0

  function clear(shelf: Shelf): void {
    if (!filled.delete(shelf)) return
    bytes -= shelf.bytes
    shelf.contexts = []
  }

  return {
    get bytes() {
      return bytes
    },
    of: (token) => shelves.get(token)?.contexts,
    set(token, contexts) {
      let shelf = shelves.get(token)
      if (shelf === undefined) shelves.set(token, (shelf = { contexts: [], bytes: 0 }))
      else clear(shelf)
      shelf.contexts = contexts
      shelf.bytes = claimsBytes(token) + contexts.reduce((sum, context) => sum + bytesOf(context), 0)
      filled.add(shelf)
      bytes += shelf.bytes
      for (const oldest of filled) {
        if (bytes <= maxBytes) break
        clear(oldest)
      }
    },
  }
}

function bytesOf({ user, member }: RememberedContext): number {
  return contextBytes + user.bytes + (member?.bytes ?? 0)
}

/** Claims are what was signed, parsed: about four bytes for each letter of it. */
function claimsBytes({ claims }: VerifiedToken): number {
  return 4 * JSON.stringify(claims).length
}
