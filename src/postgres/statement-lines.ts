/**
 * Finds where the statements of a script begin, as PostgreSQL counts them: what is empty is none. Used to say in which line
 * something failed, never to run anything.
 *
 * @returns the line of each statement's first word, from 1
 */
export function statementLines(script: string): number[] {
  const lines: number[] = []
  let line = 1
  let isInside = false
  let parentheses = 0
  // BEGIN ATOMIC … END and CASE … END in the body of a function hold semicolons of their own (as psql counts them).
  let blocks = 0
  let words: string[] = []
  for (const [token] of script.matchAll(tokens)) {
    const isCode = !/^(?:\s|--|\/\*)/.test(token)
    if (token === ';' && parentheses === 0 && blocks === 0) {
      isInside = false
      words = []
    } else if (isCode) {
      if (!isInside) lines.push(line)
      isInside = true
      if (token === '(') parentheses += 1
      else if (token === ')') parentheses = Math.max(0, parentheses - 1)
      else if (/^[a-z_]/i.test(token)) {
        if (words.length < 4) words.push(token.toLowerCase())
        if (parentheses === 0 && makesRoutine(words)) blocks = blocksAfter(blocks, token.toLowerCase())
      }
    }
    for (const character of token) if (character === '\n') line += 1
  }
  return lines
}

// In this order: white space, comments, strings (those with backslashes first), names, dollar quotes, words, all else.
// Comments nest two levels deep here, which is one more than anybody writes.
const tokens = new RegExp(
  [
    /\s+/,
    /--[^\n]*/,
    /\/\*[^*/]*(?:(?:\*(?!\/)|\/\*[^*]*(?:\*(?!\/)[^*]*)*\*\/|\/)[^*/]*)*\*\//,
    /[eE]'[^'\\]*(?:(?:\\[^]|'')[^'\\]*)*'/,
    /'[^']*(?:''[^']*)*'/,
    /"[^"]*(?:""[^"]*)*"/,
    /\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$[^]*?\$\1\$/,
    /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/,
    /[^]/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'g',
)

function makesRoutine([first, second, third, fourth]: readonly string[]): boolean {
  const kind = second === 'or' && third === 'replace' ? fourth : second
  return first === 'create' && (kind === 'function' || kind === 'procedure')
}

function blocksAfter(blocks: number, word: string): number {
  if (word === 'begin' || (word === 'case' && blocks > 0)) return blocks + 1
  return word === 'end' ? Math.max(0, blocks - 1) : blocks
}
