import { CliError } from './cli-error.js'

// Readers of options. They say what is wrong; what is right in itself but not for the command is refused where it is used.

/** Reads a whole number within bounds. */
export function wholeNumber(min: number, max: number) {
  return (text: string): number => {
    const value = Number(text)
    if (/^\d{1,16}$/.test(text) && value >= min && value <= max) return value
    throw new CliError('CLI_USAGE', `must be a whole number from ${min} to ${max}, not ${shown(text)}`)
  }
}

/** Reads a number of tenants, or a share of them in percent. */
export function share(text: string): number | `${number}%` {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1]
  if (percent !== undefined && Number(percent) > 0 && Number(percent) <= 100) return `${Number(percent)}%`
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text)
  throw new CliError('CLI_USAGE', `must be a number of tenants or a share such as 1%, not ${shown(text)}`)
}

/** Reads one of some words. Completion offers them. */
export function oneOf<const Word extends string>(...words: readonly Word[]) {
  const read = (text: string): Word => {
    const found = words.find((word) => word === text)
    if (found !== undefined) return found
    throw new CliError('CLI_USAGE', `must be one of ${words.join(', ')}, not ${shown(text)}`)
  }
  return Object.assign(read, { words })
}

function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
