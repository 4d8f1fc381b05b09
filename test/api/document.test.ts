import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { operations as ofTenantsAndUsers, platformOperations } from '../../src/api/operations/index.js'
import { type ApiApp, createApiApp } from './api-app.js'

const operations = [...ofTenantsAndUsers, ...platformOperations]
let api: ApiApp
beforeAll(async () => {
  api = await createApiApp()
})
afterAll(() => api.close())

test('The committed document is what the operations say; a change of an operation shows in it', async () => {
  const committed = JSON.parse(await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8')) as unknown
  expect(api.api.document, 'npm run build && node scripts/openapi.js').toEqual(committed)
})

/** What differs between the committed document and one that is served, by operation. */
function changesOf(committed: Document, served: Document): string[] {
  const list = ({ paths, components }: Document) =>
    new Map<string, string>([
      ...Object.entries(paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, each]) => [`${method} ${path}`, JSON.stringify(each)] as const),
      ),
      ...Object.entries(components.schemas).map(([name, each]) => [name, JSON.stringify(each)] as const),
    ])
  const [before, after] = [list(committed), list(served)]
  return [
    ...[...before.keys()].filter((name) => !after.has(name)).map((name) => `gone: ${name}`),
    ...[...after.keys()].filter((name) => !before.has(name)).map((name) => `new: ${name}`),
    ...[...after]
      .filter(([name, text]) => before.has(name) && before.get(name) !== text)
      .map(([name]) => `changed: ${name}`),
  ]
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, object>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
}

test('An operation that has gone, is new or has changed is named', async () => {
  const text = await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8')
  const committed = JSON.parse(text) as Document
  const served = api.api.document as unknown as Document
  expect(changesOf(committed, served), 'npm run build && node scripts/openapi.js').toEqual([])
  // That it says so is tried with each operation.
  for (const [path, methods] of Object.entries(served.paths)) {
    for (const method of Object.keys(methods)) {
      const { [method]: one, ...others } = methods
      const without = { ...served, paths: { ...served.paths, [path]: others } }
      expect(changesOf(committed, without)).toEqual([`gone: ${method} ${path}`])
      const changed = { ...others, [method]: { ...one, security: [], summary: 'x' } }
      expect(changesOf(committed, { ...served, paths: { ...served.paths, [path]: changed } })).toEqual([
        `changed: ${method} ${path}`,
      ])
    }
  }
})

test('Every operation has a name of its own, and every parameter of its path is described', () => {
  expect(new Set(operations.map(({ id }) => id)).size).toBe(operations.length)
  for (const { id, path, params } of operations) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '')
    expect(Object.keys(params.shape).toSorted(), id).toEqual(named.toSorted())
  }
})

test('Whatever a request may send is closed: no object of a request takes unknown fields', () => {
  const { paths, components } = api.api.document as {
    readonly paths: Record<string, Record<string, { readonly requestBody?: object }>>
    readonly components: { readonly schemas: Record<string, { readonly additionalProperties?: unknown }> }
  }
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { requestBody }] of Object.entries(methods)) {
      if (requestBody === undefined) continue
      const names = [...JSON.stringify(requestBody).matchAll(/"#\/components\/schemas\/(\w+)"/g)]
      expect(names, `${method} ${path}: name the schema of its body`).not.toEqual([])
      for (const [, name = ''] of names) {
        // The application's schema closes it, which the document does not know: settings.test.ts tries that.
        if (name === 'TenantSettingsChanges') continue
        expect(components.schemas[name], `${method} ${path}`).toMatchObject({ additionalProperties: false })
      }
    }
  }
})
