import { cleanText } from './clean-text.js'
import { type Style, styled, type Terminal } from './terminal.js'

/** A value in a table or a list of facts. */
export type Cell = string | number | boolean | Date | null | undefined

/** A cell with a style. */
export interface StyledCell {
  readonly text: Cell
  readonly style: Style
}

/** What a command shows to people. All text is made safe for a terminal. */
export interface Page {
  readonly terminal: Terminal
  /** One line, or several. */
  line(text?: string, style?: Style): void
  /** One line of several pieces, each with a style of its own. */
  pieces(...pieces: readonly (string | StyledCell)[]): void
  /** Rows under headings. Where nobody watches: values with tabs between them, without headings. */
  table(headings: readonly string[], rows: readonly (readonly (Cell | StyledCell)[])[]): void
  /** Facts, one a line: label and value. */
  facts(facts: readonly (readonly [string, Cell | StyledCell])[]): void
  /** A hint on what to do next; only for people on a terminal. */
  hint(text: string): void
}

/** Makes a page, and gives what was written on it. */
export function createPage(terminal: Terminal): { readonly page: Page; readonly text: () => string } {
  const lines: string[] = []
  const page: Page = {
    terminal,
    line: (text = '', style) =>
      void lines.push(
        ...cleanText(text, { keepLines: true })
          .split('\n')
          .map((line) => (style === undefined || line === '' ? line : styled(terminal, style, line))),
      ),
    pieces(...pieces) {
      const styledPieces = pieces.map(plain).map(({ text, style }) => (style ? styled(terminal, style, text) : text))
      lines.push(styledPieces.join('').trimEnd())
    },
    table(headings, rows) {
      const cells = rows.map((row) => row.map(plain))
      if (!terminal.isTerminal) {
        lines.push(...cells.map((row) => row.map(({ text }) => text).join('\t')))
        return
      }
      const widths = headings.map((heading, column) =>
        Math.max(heading.length, ...cells.map((row) => widthOf(row[column]?.text ?? ''))),
      )
      lines.push(joined(headings.map((heading, column) => styled(terminal, 'dim', padded(heading, widths[column])))))
      for (const row of cells) {
        lines.push(
          joined(
            row.map(({ text, style }, column) => {
              const wide = column === row.length - 1 ? text : padded(text, widths[column])
              return style === undefined ? wide : styled(terminal, style, wide)
            }),
          ),
        )
      }
    },
    facts(facts) {
      const width = Math.max(0, ...facts.map(([label]) => label.length))
      for (const [label, cell] of facts) {
        const { text, style } = plain(cell)
        const value = style === undefined ? text : styled(terminal, style, text)
        lines.push(
          terminal.isTerminal ? `${styled(terminal, 'dim', label.padEnd(width))}  ${value}` : `${label}\t${value}`,
        )
      }
    },
    hint(text) {
      if (terminal.isTerminal) lines.push(styled(terminal, 'dim', cleanText(text)))
    },
  }
  return { page, text: () => (lines.length === 0 ? '' : `${lines.join('\n')}\n`) }
}

function plain(cell: Cell | StyledCell): { readonly text: string; readonly style?: Style } {
  if (cell !== null && typeof cell === 'object' && 'style' in cell) return { ...plain(cell.text), style: cell.style }
  if (cell === null || cell === undefined) return { text: '-' }
  return { text: cell instanceof Date ? cell.toISOString() : cleanText(String(cell)) }
}

/** Columns that text takes: those of Chinese, Japanese and Korean take two, marks none. */
function widthOf(text: string): number {
  let width = 0
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue
    width +=
      /[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\u{1F300}-\u{1FAFF}]/u.test(
        character,
      )
        ? 2
        : 1
  }
  return width
}

function padded(text: string, width = 0): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)))
}

function joined(cells: readonly string[]): string {
  return cells.join('  ').trimEnd()
}
