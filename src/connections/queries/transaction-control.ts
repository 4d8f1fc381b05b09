import { TenancyError } from '../../core/errors/errors.js'
import { statementsOf } from '../../postgres/text/sql-statements.js'

/**
 * What a text does to transactions that `pool.query` must not do. `opens`: it begins one and leaves it open. `strays`: it
 * belongs to one that it did not begin.
 */
export type TransactionMisuse = 'opens' | 'strays'

/**
 * Judges a text for `pool.query`, whose connection has no transaction before it and must have none after it. Undefined:
 * the text shows no misuse.
 */
export function transactionMisuseOf(text: string): TransactionMisuse | undefined {
  if (isPlain(text)) return undefined
  const known = judged.get(text)
  if (known !== undefined) return known === 'none' ? undefined : known
  const found = judge(text)
  if (judged.size >= maxRemembered) judged.clear()
  if (text.length <= maxRememberedLength) judged.set(text, found ?? 'none')
  return found
}

const judged = new Map<string, TransactionMisuse | 'none'>()
const maxRemembered = 256
const maxRememberedLength = 2048

/**
 * Whether it is one statement whose first letters begin no word of transaction control: the usual case, decided quickly.
 */
function isPlain(text: string): boolean {
  let at = 0
  let first = text.charCodeAt(0)
  while (first === 32 || (first >= 9 && first <= 13)) first = text.charCodeAt((at += 1))
  const second = text.charCodeAt(at + 1) | 32
  switch (first | 32) {
    // abort, begin, commit, prepare, release and rollback
    case 97:
    case 98:
    case 99:
    case 112:
    case 114:
      return false
    // end, but not explain and execute
    case 101:
      if (second !== 120) return false
      break
    // savepoint and start, but not select and set
    case 115:
      if (second !== 101) return false
      break
    // A comment, behind which anything may come. (`-` and `/` are 45 and 47, and | 32 leaves them as they are.)
    case 45:
    case 47:
      return false
    default:
  }
  const end = text.indexOf(';')
  return end === -1 || isBlankFrom(text, end + 1)
}

function isBlankFrom(text: string, start: number): boolean {
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code !== 32 && code !== 59 && (code < 9 || code > 13)) return false
  }
  return true
}

function judge(text: string): TransactionMisuse | undefined {
  let isOpen = false
  for (const { words } of statementsOf(text)) {
    const [verb, next, third] = words
    switch (verb) {
      case 'begin':
        isOpen = true
        break
      case 'start':
        if (next === 'transaction') isOpen = true
        break
      case 'savepoint':
      case 'release':
        if (!isOpen) return 'strays'
        break
      case 'prepare':
        // Two-phase commit: the transaction stays open on the server, for anyone who knows its name.
        if (next === 'transaction' && third === "'") return isOpen ? 'opens' : 'strays'
        break
      case 'commit':
      case 'end':
      case 'rollback':
      case 'abort': {
        if (next === 'prepared') break
        if (!isOpen) return 'strays'
        const rest = words.slice(next === 'work' || next === 'transaction' ? 2 : 1)
        if (verb === 'rollback' && rest[0] === 'to') break
        isOpen = rest[0] === 'and' && rest[1] === 'chain'
        break
      }
      default:
    }
  }
  return isOpen ? 'opens' : undefined
}

const wayOut =
  'Take one client for the whole transaction (const client = await pool.connect(), then release it), or send it as one ' +
  'text: "begin; …; commit". A library that does this by itself takes the pool for a client, as Drizzle up to 0.44 does ' +
  'when it has another copy of pg: pass the application’s copy, createTenancy({ pg })'

/** The error for the sender of such a text. */
export function transactionRefused(misuse: TransactionMisuse): TenancyError {
  const what =
    misuse === 'opens'
      ? 'pool.query was asked to begin a transaction and leave it open: later queries may run on other connections, outside of it.'
      : 'pool.query was asked to end or continue a transaction that it did not begin: that may be on another connection.'
  return new TenancyError('TENANCY_CONNECTION_TRANSACTION', `${what} Nothing was sent. ${wayOut}`)
}

/** The error when the server says that a transaction is open, after a text that did not show it. */
export function transactionLeftOpen(): TenancyError {
  return new TenancyError(
    'TENANCY_CONNECTION_TRANSACTION',
    `pool.query left a transaction open on its connection: it was rolled back. ${wayOut}`,
  )
}
