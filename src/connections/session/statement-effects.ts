/** The effects of a statement, as far as its text tells. */
export interface StatementFacts {
  /**
   * Known to leave nothing behind in its session once its transaction is over, and to read nothing that an earlier user
   * may have left, unless code behind the names in it does (see `schema-effects.ts`).
   */
  readonly clean: boolean
  /** Every name in a clean statement, as PostgreSQL reads it: tables, columns, types, also keywords. Else empty. */
  readonly names: ReadonlySet<string>
  /** May insert rows, or set columns to their defaults. */
  readonly inserts: boolean
  /** May change rows. */
  readonly writes: boolean
}

/**
 * Judges a statement by its text.
 *
 * It goes by an allow-list. A text is clean if it is one statement of a kind in the list below that calls only
 * functions of PostgreSQL that keep no session state. Anything else is not clean, functions of the application
 * included. That costs one reset after the statement and nothing more.
 */
export function factsOf(text: string): StatementFacts {
  const known = facts.get(text)
  if (known !== undefined) return known
  const found = (text.length <= maxTextLength && inspect(text)) || unclean
  if (facts.size >= maxRemembered) facts.clear()
  if (text.length <= maxRememberedLength) facts.set(text, found)
  return found
}

const unclean: StatementFacts = { clean: false, names: new Set(), inserts: true, writes: true }
const facts = new Map<string, StatementFacts>()
const maxRemembered = 2000
const maxRememberedLength = 4096
const maxTextLength = 100_000
/** PostgreSQL truncates names to this length: two that differ only behind it are the same. */
const maxNameBytes = 63

// Order matters: comments and literals come first, so that nothing inside them is taken for a word. White space is
// PostgreSQL's: some characters that are blank to JavaScript are letters to PostgreSQL.
const token =
  /[ \t\n\r\f\v]+|--[^\n\r]*|\/\*(?:(?!\/\*|\*\/)[^])*\*\/|(?:[eE]'(?:[^'\\]|''|\\[^])*'|[nNbBxX]?'(?:[^'\\]|'')*')|"(?:[^"]|"")+"|\$\d+|[a-zA-Z_\u0080-\uffff][\w$\u0080-\uffff]*|\d[\w.]*|::|[.(;]|[^\s\w"'$\\]/y

function inspect(text: string): StatementFacts | undefined {
  // This spells a name in another way: U&"set!005fconfig" uescape '!'.
  if (/u&"/i.test(text)) return undefined
  const words: string[] = []
  token.lastIndex = 0
  while (token.lastIndex < text.length) {
    const match = token.exec(text)
    // Dollar quotes, nested comments and backslashes in plain literals are not worth reading.
    if (match === null) return undefined
    const word = match[0]
    if (/^(?:[ \t\n\r\f\v]|--|\/\*)/.test(word)) continue
    words.push(word.startsWith('"') ? word : lowerCase(word))
  }
  while (words.at(-1) === ';') words.pop()
  const names = new Set(words.filter((word) => /^["a-z_\u0080-\uffff]/.test(word)).map(unquoted))
  const clean =
    !words.includes(';') &&
    isKnownStatement(words) &&
    words.every((word, index) => word !== '(' || maySay(words, index)) &&
    // The view's rule for UPDATE calls set_config.
    !names.has('pg_settings') &&
    ![...names].some((name) => name.length * 3 > maxNameBytes && Buffer.byteLength(name) > maxNameBytes)
  if (!clean) return undefined
  const says = (...verbs: readonly string[]) => verbs.some((verb) => names.has(verb))
  return {
    clean,
    names,
    inserts: says('insert', 'merge', 'default'),
    writes: says('insert', 'update', 'delete', 'merge'),
  }
}

/** Lower case as in PostgreSQL: ASCII letters only. */
function lowerCase(word: string): string {
  return word.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

function unquoted(word: string): string {
  return word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word
}

function isKnownStatement(words: readonly string[]): boolean {
  const [verb = '', next = '', third = ''] = words
  if (transactionVerbs.has(verb)) return next !== 'prepared'
  // SET local.name = … sets the session's setting "local.name".
  if (verb === 'set') return next === 'local' && third !== '.'
  if (!dataVerbs.has(verb)) return false
  // SELECT … INTO creates a table, perhaps a temporary one.
  return words.every((word, index) => word !== 'into' || /^(?:insert|merge)$/.test(words[index - 1] ?? ''))
}

/** Whether the parenthesis at `index` opens a list, an expression or the arguments of a known function. */
function maySay(words: readonly string[], index: number): boolean {
  let at = index - 1
  const name = words[at] ?? ''
  // A literal, a number or a parameter names no function: this is not understood.
  if (/^(?:[\d$']|[ebnx]')/.test(name)) return false
  if (!/^["a-z_\u0080-\uffff]/.test(name)) return true
  const qualified = words[at - 1] === '.'
  while (words[at - 1] === '.') at -= 2
  const before = words[at - 1] ?? ''
  // Column lists: insert into t (…), … as alias (…), with t (…) as.
  if (/^(?:into|as|with|recursive)$/.test(before)) return true
  if (qualified) return words[at] === 'pg_catalog' && at === index - 3 && functions.has(name)
  return keywords.has(name) || functions.has(name)
}

const dataVerbs = new Set(['select', 'insert', 'update', 'delete', 'merge', 'with', 'values', 'table', '('])
const transactionVerbs = new Set(['begin', 'start', 'commit', 'end', 'rollback', 'abort', 'savepoint', 'release'])

/** Words before a parenthesis that call no function; types with a length are among them. */
const keywords = new Set(
  (
    'all and any array as between bit by case cast char character check coalesce conflict cube decimal distinct else ' +
    'except exists extract filter float from greatest group having ilike in intersect interval is join key lateral least ' +
    'like limit materialized not nullif numeric offset on only operator or over overlay partition position recursive ' +
    'returning rollup row select set sets similar some substring then time timestamp timestamptz trim union using ' +
    'values varbit varchar varying when where window within'
  ).split(' '),
)

/** Functions of PostgreSQL that leave no session state behind. */
const functions = new Set(
  (
    'abs age any_value array_agg array_append array_cat array_length array_position array_prepend array_remove ' +
    'array_replace array_to_json array_to_string avg bit_and bit_or bool_and bool_or btrim cardinality ceil ceiling ' +
    'char_length character_length chr clock_timestamp concat concat_ws convert_from convert_to count cume_dist ' +
    'current_database current_schema current_setting date_bin date_part date_trunc decode dense_rank div encode every ' +
    'exp first_value floor format gen_random_uuid generate_series generate_subscripts host initcap isfinite json_agg ' +
    'json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each ' +
    'json_each_text json_object json_object_agg json_object_keys json_populate_recordset json_strip_nulls ' +
    'json_to_recordset json_typeof jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length ' +
    'jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_insert jsonb_object jsonb_object_agg ' +
    'jsonb_object_keys jsonb_path_exists jsonb_path_query jsonb_populate_recordset jsonb_pretty jsonb_set ' +
    'jsonb_strip_nulls jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lag last_value lead ' +
    'left length ln log lower lpad ltrim make_date make_interval make_time make_timestamp make_timestamptz max md5 min ' +
    'mod mode now nth_value ntile numnode octet_length percent_rank percentile_cont percentile_disc pg_advisory_xact_lock ' +
    'pg_advisory_xact_lock_shared pg_backend_pid pg_column_size pg_sleep pg_try_advisory_xact_lock ' +
    'pg_try_advisory_xact_lock_shared pg_typeof phraseto_tsquery plainto_tsquery power quote_ident quote_literal ' +
    'quote_nullable random range_agg rank regexp_count regexp_match regexp_matches regexp_replace regexp_split_to_array ' +
    'regexp_split_to_table regr_count repeat replace reverse right round row_number row_to_json rpad rtrim setweight ' +
    'sha224 sha256 sha384 sha512 sign split_part sqrt starts_with statement_timestamp stddev string_agg string_to_array ' +
    'string_to_table strip strpos substr sum timeofday to_char to_date to_hex to_json to_jsonb to_number to_timestamp ' +
    'to_tsquery to_tsvector transaction_timestamp translate trunc ts_headline ts_rank ts_rank_cd unnest upper variance ' +
    'version websearch_to_tsquery width_bucket'
  ).split(' '),
)
