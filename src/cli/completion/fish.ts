import { type CommandPlace, type OptionCandidate, plainSummary, valuesOf } from './places.js'

/** A script for fish. */
export function fishScript(places: readonly CommandPlace[]): string {
  const { files, texts, words } = valuesOf(places)
  const taking = [...files, ...texts, ...words.keys()]
  const paths = places.map(({ path }) => path).filter((path) => path !== '')
  return `# Completion of tenants2fast for fish.
#   tenants2fast completion fish > ~/.config/fish/completions/tenants2fast.fish
function __tenants2fast_at
    set -l at ''
    set -l before ''
    for word in (commandline -opc)[2..]
        set -l isValue (contains -- $before ${taking.join(' ')}; and echo yes)
        set before $word
        if string match -q -- '-*' $word; or test -n "$isValue"
            continue
        end
        if contains -- "$at/$word" ${paths.join(' ')}
            set at "$at/$word"
        end
    end
    test "$at" = "$argv[1]"
end
complete -c tenants2fast -f
${places.flatMap(fishLines).join('\n')}
`
}

function fishLines({ path, commands, options, takesFile }: CommandPlace): string[] {
  const where = `complete -c tenants2fast -n '__tenants2fast_at "${path}"'`
  return [
    ...commands.map(({ word, summary }) => `${where} -a '${word}' -d '${plainSummary(summary)}'`),
    ...options.map((option) => `${where} ${optionText(option)} -d '${plainSummary(option.summary)}'`),
    ...(takesFile ? [`${where} -F`] : []),
  ]
}

function optionText({ word, value }: OptionCandidate): string {
  const name = `-l ${word.slice(2)}`
  if (value === 'none') return name
  if (value === 'file') return `${name} -r -F`
  return typeof value === 'string' ? `${name} -x` : `${name} -x -a '${value.join(' ')}'`
}
