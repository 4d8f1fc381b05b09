import type { VerifiedToken } from '../core/identity/identity.js'
import type { RememberedContext, RequestContexts } from '../core/request-path.js'

interface TokenContexts {
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
  const contextsByToken = new WeakMap<VerifiedToken, TokenContexts>()
  /** In the order in which they were filled. They hold their tokens, too: contexts do. */
  const filled = new Set<TokenContexts>()
  let bytes = 0

  function clear(known: TokenContexts): void {
    if (!filled.delete(known)) return
    bytes -= known.bytes
    known.contexts = []
  }

  return {
    get bytes() {
      return bytes
    },
    of: (token) => contextsByToken.get(token)?.contexts,
    set(token, contexts) {
      let known = contextsByToken.get(token)
      if (known === undefined) contextsByToken.set(token, (known = { contexts: [], bytes: 0 }))
      else clear(known)
      known.contexts = contexts
      known.bytes = claimsBytes(token) + contexts.reduce((sum, context) => sum + bytesOf(context), 0)
      filled.add(known)
      bytes += known.bytes
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
