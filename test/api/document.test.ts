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
