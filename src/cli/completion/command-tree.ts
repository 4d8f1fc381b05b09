import type { AnyCommand, ArgumentDefinition, GroupDefinition, OptionDefinition } from '../command.js'
import { optionsOf } from '../common-options.js'
import type { CommandPlace, OptionCandidate, ValueKind } from './places.js'

/** Every place of the command line, the first one with the groups. Loads all definitions. */
export async function commandTree(groups: readonly GroupDefinition[]): Promise<readonly CommandPlace[]> {
  const places: CommandPlace[] = [
    {
      path: '',
      commands: groups.map(({ name, summary }) => ({ word: name, summary })),
      options: [
        { word: '--help', summary: 'show help', value: 'none' },
        { word: '--version', summary: 'show the version', value: 'none' },
      ],
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
