// oxlint-disable-next-line no-control-regex
const token = /\u001B\[([0-9;?]*)([A-Za-z])|\u001B[78]|\u001B\][^\u0007]*\u0007|\r|\n|[^\u001B\r\n]+/g

/**
 * The lines that a terminal shows at the end, without those that were drawn over: for programs that draw on one line again and
 * again (ECMA-48: carriage return, CHA, EL, and saving the position of the cursor). Lines are not wrapped.
 */
export function screenOf(raw: string): string[] {
  const lines: string[] = ['']
  let row = 0
  let column = 0
  let saved = { row, column }
  for (const [text, parameter = '', command] of raw.matchAll(token)) {
    const line = lines[row] ?? ''
    if (text === '\r') column = 0
    else if (text === '\n') row += 1
    else if (text === '\u001B7') saved = { row, column }
    else if (text === '\u001B8') ({ row, column } = saved)
    else if (command === 'G') column = Math.max(0, Number(parameter || 1) - 1)
    else if (command === 'K') lines[row] = parameter === '2' ? '' : line.slice(0, column)
    else if (!text.startsWith('\u001B')) {
      lines[row] = line.padEnd(column).slice(0, column) + text + line.slice(column + text.length)
      column += text.length
    }
    lines[row] ??= ''
  }
  return lines.map((line) => line.trimEnd())
}
