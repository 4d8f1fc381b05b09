import type { AnyCommand, ArgumentDefinition, GroupDefinition, OptionDefinition } from '../command.js'
import { optionsOf } from '../program.js'

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

/** Every place of the command line, the first one with the groups. Loads all definitions. */
export async function commandTree(groups: readonly GroupDefinition[]): Promise<readonly CommandPlace[]> {
  const places: CommandPlace[] = [
    {
      path: '',
      commands: groups.map(({ name, summary }) => ({ word: name, summary })),
      options: [{ word: '--help', summary: 'show help', value: 'none' }],
      takesFile: false,
    },
  ]
  for (const group of groups) {
    const { commands } = await group.load()
    const path = `/${group.name}`
    const [first] = commands
    if (group.isCommand === true && first !== undefined) {
      places.push(placeOf(path, first))
      continue
    }
    places.push({
      path,
      commands: commands.map(({ name, summary }) => ({ word: name, summary })),
      options: [{ word: '--help', summary: 'show help', value: 'none' }],
      takesFile: false,
    })
    places.push(...commands.map((command) => placeOf(`${path}/${command.name}`, command)))
  }
  return places
}

function placeOf(path: string, command: AnyCommand): CommandPlace {
  const words = (command.arguments ?? []).flatMap(({ parse }) => wordsOf(parse) ?? [])
  return {
    path,
    commands: words.map((word) => ({ word, summary: '' })),
    options: [...optionsOf(command).flatMap(optionCandidate), { word: '--help', summary: 'show help', value: 'none' }],
    takesFile: (command.arguments ?? []).some(isFile),
  }
}

function optionCandidate({ flags, description, parse }: OptionDefinition): OptionCandidate[] {
  const [, word, value] = /(--[\w-]+)(?: (.+))?$/.exec(flags) ?? []
  if (word === undefined) return []
  return [{ word, summary: description, value: value === undefined ? 'none' : (wordsOf(parse) ?? kindOf(value)) }]
}

const kindOf = (value: string): ValueKind => (/FILE|FOLDER|DIR|PATH/.test(value) ? 'file' : 'text')

const isFile = ({ name }: ArgumentDefinition) => /file|folder|dir|path/i.test(name)

/** The words that a reader accepts, if it is one of `oneOf`. */
function wordsOf(parse: ((text: string) => unknown) | undefined): readonly string[] | undefined {
  return parse !== undefined && 'words' in parse && Array.isArray(parse.words) ? (parse.words as string[]) : undefined
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
