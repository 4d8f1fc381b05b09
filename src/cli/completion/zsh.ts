import { type Candidate, type CommandPlace, plainSummary, valuesOf } from './places.js'

/** A script for zsh: to be sourced, or saved as \`_tenants2fast\` in a folder of \`fpath\`. */
export function zshScript(places: readonly CommandPlace[]): string {
  const { files, texts, words } = valuesOf(places)
  const taking = [...files, ...texts, ...words.keys()]
  const paths = places.map(({ path }) => path).filter((path) => path !== '')
  // A variable called path would be PATH.
  return `#compdef tenants2fast
# Completion of tenants2fast for zsh.
#   source <(tenants2fast completion zsh)
_tenants2fast() {
  local at='' i
  local -a commands options
  local files=''
  for ((i = 2; i < CURRENT; i++)); do
    case \${words[i]} in (-*) continue ;; esac
    case \${words[i-1]} in (${pattern(taking)}) continue ;; esac
    case $at/\${words[i]} in
      (${pattern(paths)}) at=$at/\${words[i]} ;;
    esac
  done
  case \${words[CURRENT-1]} in
${[...words].map(([option, values]) => `    (${option}) compadd -- ${values.join(' ')}; return ;;`).join('\n')}
    (${pattern(files)}) _files; return ;;
    (${pattern(texts)}) return ;;
  esac
  case $at in
${places.map(zshCase).join('\n')}
  esac
  case \${words[CURRENT]} in
    (-*) _describe -o option options ;;
    (*)
      if (( \${#commands} )); then _describe command commands
      elif [[ -n $files ]]; then _files
      else _describe -o option options
      fi ;;
  esac
}
if [ "\${funcstack[1]}" = _tenants2fast ]; then
  _tenants2fast "$@"
else
  compdef _tenants2fast tenants2fast
fi
`
}

function pattern(words: readonly string[]): string {
  return words.length === 0 ? "''" : words.join('|')
}

function zshCase({ path, commands, options, takesFile }: CommandPlace): string {
  return `    ('${path}') commands=(${list(commands)}) options=(${list(options)}) files=${takesFile ? '1' : "''"} ;;`
}

function list(candidates: readonly Candidate[]): string {
  return candidates.map(({ word, summary }) => `'${word}:${plainSummary(summary).replaceAll(':', '\\:')}'`).join(' ')
}
