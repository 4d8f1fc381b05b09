import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md') && name !== 'CHANGELOG.md'),
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

/** Paths of this repository in backticks, without what a sentence may add to a command. */
function pathsIn(text: string): string[] {
  const code = text.match(/`[^`\n]+`/g) ?? []
  return code.flatMap((piece) => piece.match(/\b(?:src|test|bench|scripts|examples|docs)\/[\w./-]*\w/g) ?? [])
}

test('a page names no file or folder of this repository that does not exist', () => {
  const named = pages.flatMap((page) => pathsIn(readFileSync(join(root, page), 'utf8')).map((path) => ({ page, path })))
  expect(named.length).toBeGreaterThan(60)
  expect(named.filter(({ path }) => !existsSync(join(root, path)))).toEqual([])
})

test('a link to another page of this repository leads to a file', () => {
  const links = pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(
      ([, target = '']) => ({
        page,
        target,
      }),
    ),
  )
  expect(links.length).toBeGreaterThan(20)
  expect(links.filter(({ page, target }) => !existsSync(join(root, dirname(page), target)))).toEqual([])
})
