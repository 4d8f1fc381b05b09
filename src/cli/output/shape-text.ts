import type { Shape } from '../shapes.js'

/** Writes a shape as TypeScript would: for help and docs/cli.md. */
export function shapeText(shape: Shape, indent = ''): string {
  return `${indent}${inner(shape, indent)}`
}

function inner(shape: Shape, indent: string): string {
  if (typeof shape === 'string') return shape
  if (isList(shape)) {
    const [element] = shape
    return typeof element === 'string'
      ? `${element.includes('|') ? `(${element})` : element}[]`
      : `${inner(element, indent)}[]`
  }
  const deeper = `${indent}  `
  const lines = Object.entries(shape).map(([key, value]) => `${deeper}${key}: ${inner(value, deeper)}`)
  return `{\n${lines.join('\n')}\n${indent}}`
}

function isList(shape: Shape): shape is readonly [Shape] {
  return Array.isArray(shape)
}
