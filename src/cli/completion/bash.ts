import { type CommandPlace, valuesOf } from './places.js'

/** A script for bash, 3.2 (macOS) or newer. */
export function bashScript(places: readonly CommandPlace[]): string {
  const { files, texts, words } = valuesOf(places)
  const taking = [...files, ...texts, ...words.keys()]
  const paths = places.map(({ path }) => path).filter((path) => path !== '')
  return `# Completion of tenants2fast for bash.
#   source <(tenants2fast completion bash)
_tenants2fast() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in -*) continue ;; esac
    case \${COMP_WORDS[i-1]} in ${pattern(taking)}) continue ;; esac
    case $at/\${COMP_WORDS[i]} in
      ${pattern(paths)}) at=$at/\${COMP_WORDS[i]} ;;
    esac
  done
  case $prev in
${[...words].map(([option, values]) => `    ${option}) COMPREPLY=($(compgen -W '${values.join(' ')}' -- "$cur")); return ;;`).join('\n')}
    ${pattern(files)}) _tenants2fast_files "$cur"; return ;;
    ${pattern(texts)}) return ;;
  esac
  local commands= options= files=
  case $at in
${places.map(bashCase).join('\n')}
  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$options" -- "$cur")) ;;
    *)
      if [ -n "$commands" ]; then COMPREPLY=($(compgen -W "$commands" -- "$cur"))
      elif [ -n "$files" ]; then _tenants2fast_files "$cur"
      elif [ -z "$cur" ]; then COMPREPLY=($(compgen -W "$options" -- "$cur"))
      fi ;;
  esac
}
_tenants2fast_files() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -f -- "$1"))
  compopt -o filenames 2> /dev/null
}
complete -F _tenants2fast tenants2fast
`
}

/** A pattern of a case; one that fits nothing for an empty list. */
function pattern(words: readonly string[]): string {
  return words.length === 0 ? "''" : words.join('|')
}

function bashCase({ path, commands, options, takesFile }: CommandPlace): string {
  return `    '${path}') commands='${list(commands)}' options='${list(options)}' files=${takesFile ? 1 : ''} ;;`
}

function list(candidates: readonly { readonly word: string }[]): string {
  return candidates.map(({ word }) => word).join(' ')
}
