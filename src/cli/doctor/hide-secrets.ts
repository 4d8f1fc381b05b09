import { settings } from '../../core/config/settings.js'

/** Shorter values are words that would be hidden everywhere, such as the password `postgres`. */
const minLength = 9

/**
 * Replaces secrets of the environment in a text. No check puts one there; drivers and servers that answer with an error might.
 *
 * @param env the variables that the settings were read from
 */
export function secretHider(env: Readonly<Record<string, string | undefined>>): (text: string) => string {
  const values = Object.entries(settings).flatMap(([name, setting]) =>
    'isSecret' in setting && setting.isSecret ? secretsOf(env[name] ?? '') : [],
  )
  // The longest first: an address holds its password.
  const secrets = [...new Set(values)]
    .filter((value) => value.length >= minLength)
    .toSorted((a, b) => b.length - a.length)
  return (text) => secrets.reduce((safe, secret) => safe.replaceAll(secret, '[hidden]'), text)
}

function secretsOf(value: string): string[] {
  if (!value.includes('://')) return [value]
  try {
    const { password } = new URL(value)
    return [value, password, decodeURIComponent(password)]
  } catch {
    return [value]
  }
}
