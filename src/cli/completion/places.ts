/** Something that can be typed at a place of the command line. */
export interface Candidate {
  readonly word: string
  readonly summary: string
}

/** What follows an option: nothing, a file, one of some words, or something that cannot be completed. */
export type ValueKind = 'none' | 'file' | 'text' | readonly string[]

/** An option, for completion. */
export interface OptionCandidate extends Candidate {
  readonly value: ValueKind
}

/** What can follow some words. */
export interface CommandPlace {
  /** The words before, each with a slash: empty, `/tenant`, `/tenant/create`. */
  readonly path: string
  readonly commands: readonly Candidate[]
  readonly options: readonly OptionCandidate[]
  /** Whether a file or folder can follow. */
  readonly takesFile: boolean
}

/** Options by what follows them: a name means the same everywhere. */
export function valuesOf(places: readonly CommandPlace[]): {
  readonly files: readonly string[]
  readonly texts: readonly string[]
  /** Words by option. */
  readonly words: ReadonlyMap<string, readonly string[]>
} {
  const options = places.flatMap((place) => place.options)
  const named = (kind: ValueKind) => [...new Set(options.filter(({ value }) => value === kind).map(({ word }) => word))]
  const words = new Map<string, readonly string[]>()
  for (const { word, value } of options) {
    if (typeof value !== 'string') words.set(word, [...new Set([...(words.get(word) ?? []), ...value])])
  }
  return { files: named('file'), texts: named('text').filter((word) => !words.has(word)), words }
}

/** One line without what shells treat specially. */
export function plainSummary(summary: string): string {
  const line = summary.replaceAll(/\s+/g, ' ').replaceAll(/['"`\\$]/g, '’')
  return line.length > 90 ? `${line.slice(0, 89)}…` : line
}
