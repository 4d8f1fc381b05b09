import type { MemberRecord } from '../core/access.js'
import type { RequestContext } from '../core/context.js'
import type { UserRecord, VerifiedToken } from '../core/identity.js'
import type { Remembered } from '../core/request-path.js'
import type { RouteNeeds } from './pipeline.js'

/**
 * A context that was given for one token and one way of asking, and what it rests on. A way of asking is what the places
 * of the request name, as ids and slugs, which have at most 40 letters: none of the bytes that a client sent.
 */
export interface Memo {
  readonly needs: RouteNeeds
  readonly byHeader: string | undefined
  readonly byHost: string | undefined
  readonly byPath: string | undefined
  readonly user: Remembered<UserRecord>
  readonly member: Remembered<MemberRecord> | undefined
  readonly context: RequestContext
}

/** Memos by token, bounded in bytes. */
export interface Memos {
  of(token: VerifiedToken): readonly Memo[] | undefined
  /** Replaces the memos of a token. */
  set(token: VerifiedToken, memos: readonly Memo[]): void
  /** About how much memory all of them take. */
  readonly bytes: number
}

interface Shelf {
  memos: readonly Memo[]
  bytes: number
}

/** The context, its compiled access and the names. */
const memoBytes = 800

/**
 * Makes an empty store. What was put in first goes first: to look something up costs no more than a look-up.
 *
 * @param maxBytes counts what a memo rests on as if nobody else had it
 */
export function createMemos(maxBytes: number): Memos {
  const shelves = new WeakMap<VerifiedToken, Shelf>()
  /** In the order in which they were filled. They hold their tokens, too: contexts do. */
  const filled = new Set<Shelf>()
  let bytes = 0

  function clear(shelf: Shelf): void {
    if (!filled.delete(shelf)) return
    bytes -= shelf.bytes
    shelf.memos = []
  }

  return {
    get bytes() {
      return bytes
    },
    of: (token) => shelves.get(token)?.memos,
    set(token, memos) {
      let shelf = shelves.get(token)
      if (shelf === undefined) shelves.set(token, (shelf = { memos: [], bytes: 0 }))
      else clear(shelf)
      shelf.memos = memos
      shelf.bytes = claimsBytes(token) + memos.reduce((sum, memo) => sum + bytesOf(memo), 0)
      filled.add(shelf)
      bytes += shelf.bytes
      for (const oldest of filled) {
        if (bytes <= maxBytes) break
        clear(oldest)
      }
    },
  }
}

function bytesOf({ user, member }: Memo): number {
  return memoBytes + user.bytes + (member?.bytes ?? 0)
}

/** Claims are what was signed, parsed: about four bytes for each letter of it. */
function claimsBytes({ claims }: VerifiedToken): number {
  return 4 * JSON.stringify(claims).length
}
