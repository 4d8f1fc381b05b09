import type { Shape } from '../../src/cli/shapes.js'

/** What differs between a value and the shape that a command documents, both ways: no key more, no key less. */
export function problemsOfShape(shape: Shape, value: unknown, path = '$'): string[] {
  if (typeof shape === 'string')
    return isOfType(shape, value) ? [] : [`${path} is ${JSON.stringify(value)}, not ${shape}`]
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) return [`${path} is no list`]
    return value.flatMap((element: unknown, index) => problemsOfShape(shape[0] as Shape, element, `${path}[${index}]`))
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${path} is no object`]
  const given = value as Readonly<Record<string, unknown>>
  const entries = Object.entries(shape as Readonly<Record<string, Shape>>)
  const known = new Set(entries.map(([key]) => key.replace(/\?$/, '')))
  return [
    ...Object.keys(given)
      .filter((key) => !known.has(key))
      .map((key) => `${path}.${key} is not documented`),
    ...entries.flatMap(([key, inner]) => {
      const name = key.replace(/\?$/, '')
      if (name in given) return problemsOfShape(inner, given[name], `${path}.${name}`)
      return key.endsWith('?') ? [] : [`${path}.${name} is missing`]
    }),
  ]
}

function isOfType(type: string, value: unknown): boolean {
  return type.split(' | ').some((one) => {
    if (one === 'any') return true
    if (one === 'null') return value === null
    if (one === 'date') return typeof value === 'string' && new Date(value).toISOString() === value
    return one.startsWith("'") ? value === one.slice(1, -1) : typeof value === one
  })
}
