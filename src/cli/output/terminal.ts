import type { WriteStream } from 'node:tty'

/** How a stream shows text. */
export interface Terminal {
  /** Whether a person reads it: tables, progress, questions. */
  readonly isTerminal: boolean
  /** Whether it may be coloured: on a terminal, without `NO_COLOR`. */
  readonly hasColour: boolean
  /** Columns; at least 40. */
  readonly width: number
}

/** Looks at a stream. `NO_COLOR` counts when it is not empty (no-color.org), and so does `TERM=dumb`. */
export function terminalOf(
  stream: Pick<WriteStream, 'isTTY'> & { readonly columns?: number },
  env: Readonly<Record<string, string | undefined>> = process.env,
): Terminal {
  const isTerminal = stream.isTTY
  const hasColour = isTerminal && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
  return { isTerminal, hasColour, width: Math.max(40, stream.columns ?? 80) }
}

const styles = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const

/** What text may look like. */
export type Style = keyof typeof styles

/** Styles text for a terminal that has colours; elsewhere it stays as it is. */
export function styled(terminal: Pick<Terminal, 'hasColour'>, style: Style, text: string): string {
  const [on, off] = styles[style]
  return terminal.hasColour ? `\u001B[${on}m${text}\u001B[${off}m` : text
}
