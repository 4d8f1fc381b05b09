import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'

const script = fileURLToPath(new URL('../../scripts/layers.js', import.meta.url))
const made: string[] = []

afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** Runs the script on a tree of sources that is given by file. */
async function layersOf(tree: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'layers-'))
  made.push(folder)
  for (const [file, source] of Object.entries(tree)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), source)
  }
  const { code, stdout, stderr } = await new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, [script, folder], (error, out, err) =>
      resolve({ code: error?.code ?? 0, stdout: out, stderr: err }),
    )
  })
  const lines = stdout.trimEnd().split('\n')
  // These trees have files in a few of the layers only.
  return {
    code,
    stderr,
    lines: lines.slice(0, -1).filter((line) => !line.includes('has no file: ')),
    summary: lines.at(-1),
  }
}

/** A file that everybody may import, and one of each kind that not everybody may. */
const targets = {
  'core/model.ts': 'export type Model = 1\nexport const model = 1\n',
  'postgres/quote.ts': "import type { Model } from '../core/model.js'\nexport type Quote = Model\n",
  'catalog/tables.ts':
    "import { model } from '../core/model.js'\nexport type Tables = 1\nexport const tables = model\n",
  'connections/scheduler.ts': 'export type Scheduler = 1\n',
  'composition/health.ts': "export type { Tables } from '../catalog/tables.js'\n",
  'adapters/fastify/index.ts': "import type { FastifyInstance } from 'fastify'\nexport type Plugin = FastifyInstance\n",
  'tenancy.ts': "export type { Tables } from './composition/health.js'\n",
}

test('A tree that keeps the layer rule has no broken rule and no circle', async () => {
  const { lines, summary } = await layersOf(targets)
  expect(lines).toEqual([])
  expect(summary).toMatch(/^7 modules, 5 imports, /)
})

test.for<readonly [form: string, source: string]>([
  ['import', "import { tables } from '../catalog/tables.js'\nexport const found = tables\n"],
  ['import for its effects', "import '../catalog/tables.js'\n"],
  ['import type', "import type { Tables } from '../catalog/tables.js'\nexport type Found = Tables\n"],
  ['import of a type by name', "import { type Tables } from '../catalog/tables.js'\nexport type Found = Tables\n"],
  ['export from', "export { tables } from '../catalog/tables.js'\n"],
  ['export type from', "export type { Tables } from '../catalog/tables.js'\n"],
  ['export of everything', "export * from '../catalog/tables.js'\n"],
  ['export of everything by a name', "export * as catalog from '../catalog/tables.js'\n"],
  ['dynamic import', "export const found = () => import('../catalog/tables.js')\n"],
  ['type of a dynamic import', "export type Found = import('../catalog/tables.js').Tables\n"],
  ['import by require', "import tables = require('../catalog/tables.js')\nexport const found = tables\n"],
])('An import against the layer rule is reported when it is written as: %s', async ([, source]) => {
  const { code, lines } = await layersOf({ ...targets, 'core/planted.ts': `\n${source}` })
  expect(lines).toEqual(['core/planted.ts:2 imports ../catalog/tables.js: core may import itself'])
  expect(code).toBe(1)
})

const parts = ['catalog', 'databases', 'connections', 'cache', 'identity', 'access', 'resolve']
const forbidden: readonly (readonly [from: string, to: string])[] = [
  ['postgres/planted.ts', 'catalog/tables.ts'],
  ...parts.flatMap((part) => [
    [`${part}/planted.ts`, part === 'catalog' ? 'connections/scheduler.ts' : 'catalog/tables.ts'] as const,
    [`${part}/planted.ts`, 'composition/health.ts'] as const,
  ]),
  ['http/planted.ts', 'catalog/tables.ts'],
  ['accounts/planted.ts', 'catalog/tables.ts'],
  ['accounts/planted.ts', 'adapters/fastify/index.ts'],
  ['adapters/fastify/planted.ts', 'connections/scheduler.ts'],
  ['connections/allocation/planted.ts', 'connections/scheduler.ts'],
  ['connections/allocation/planted.ts', 'core/model.ts'],
  ['connections/session/planted.ts', 'connections/scheduler.ts'],
  ['composition/planted.ts', 'adapters/fastify/index.ts'],
  ['composition/planted.ts', 'tenancy.ts'],
  ['core/planted.ts', 'tenancy.ts'],
  ['tenancy-interface.ts', 'connections/scheduler.ts'],
  ['index.ts', 'adapters/fastify/index.ts'],
]

test.for(forbidden)('%s may not import %s', async ([from, to]) => {
  const specifier = `${'../'.repeat(from.split('/').length - 1) || './'}${to.replace(/\.ts$/, '.js')}`
  const { code, lines } = await layersOf({ ...targets, [from]: `import '${specifier}'\n` })
  expect(lines).toEqual([expect.stringContaining(`${from}:1 imports ${specifier}: `)])
  expect(code).toBe(1)
})

test.for<readonly [what: string, file: string, source: string, reason: string]>([
  ['a package of another layer', 'http/planted.ts', "import 'fastify'\n", 'http may import the packages zod'],
  ['a path in a package', 'catalog/planted.ts', "import 'better-auth/node'\n", 'catalog may import the packages '],
  ['the package itself', 'cache/planted.ts', "import 'tenants2fast'\n", 'cache may import the packages '],
  ['input and output in a pure layer', 'connections/allocation/planted.ts', "import 'node:fs'\n", 'is pure'],
  ['a file that does not exist', 'core/planted.ts', "import './nowhere.js'\n", 'there is no such file'],
  ['a file outside of the sources', 'core/planted.ts', "import '../../scripts/build.js'\n", 'there is no such file'],
  [
    'an expression',
    'core/planted.ts',
    'const name = ``\nexport default import(name)\n',
    'core may import the packages ',
  ],
])('An import of %s is reported', async ([, file, source, reason]) => {
  const { code, lines } = await layersOf({ ...targets, [file]: source })
  expect(lines).toEqual([expect.stringMatching(new RegExp(`^${file}:\\d imports .*: .*${reason}`))])
  expect(code).toBe(1)
})

test('A file in a folder without a row in the table is reported', async () => {
  const { code, lines } = await layersOf({ ...targets, 'adapters/koa/index.ts': '' })
  expect(lines).toEqual(['adapters/koa/index.ts is in no layer: give it a row in scripts/layers.js'])
  expect(code).toBe(1)
})

test.for<readonly [of: string, a: string, b: string]>([
  [
    'types',
    "import type { B } from './b.js'\nexport type A = B\n",
    "import type { A } from './a.js'\nexport type B = A\n",
  ],
  ['types of dynamic imports', "export type A = import('./b.js').B\n", "export type B = import('./a.js').A\n"],
  ['values', "export { b as a } from './b.js'\n", "import { a } from './a.js'\nexport const b = () => a\n"],
])('A circle of imports of %s is reported once, with the way around', async ([, a, b]) => {
  const c = "import type { A } from './a.js'\nexport type C = A\n"
  const { code, lines } = await layersOf({ ...targets, 'core/a.ts': a, 'core/b.ts': b, 'core/c.ts': c })
  expect(lines).toEqual(['a circle of imports: core/a.ts -> core/b.ts -> core/a.ts'])
  expect(code).toBe(1)
})

test('A row in the table without a file is reported', async () => {
  const { code, summary } = await layersOf({ 'core/model.ts': 'export {}\n' })
  expect(code).toBe(1)
  expect(summary).toMatch(/^1 modules, 0 imports, [1-9]\d* problems$/)
})

test('A tree without modules is an error, not a tree without problems', async () => {
  const { code, lines, summary } = await layersOf({ 'core/README.md': '' })
  expect(code).toBe(1)
  expect(lines).toEqual([expect.stringMatching(/ has no modules$/)])
  expect(summary).toBe('0 modules, 0 imports, 1 problems')
})

test('A file that cannot be parsed is an error that names it', async () => {
  const { code, stderr } = await layersOf({ ...targets, 'core/planted.ts': 'import {' })
  expect(code).toBe(1)
  expect(stderr).toContain('core/planted.ts cannot be parsed')
})
