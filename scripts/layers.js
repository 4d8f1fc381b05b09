// The layer rule: who may import whom, and no circles. `node scripts/layers.js` checks src, `node scripts/layers.js FOLDER` another tree.
// Imports of types count, and so do `export … from`, `import('…')` and types of that form.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync, Visitor } from 'oxc-parser'

/**
 * One row for each layer: a folder or a file of src. A file belongs to the longest row that fits it, and must have one. It may import
 * its own layer, the layers and files in `imports`, the packages in `packages`, and modules of `node:` unless the layer is pure
 * (no I/O). The parts in the middle take each other through ports declared in core.
 *
 * @type {Readonly<Record<string, { imports: readonly string[], packages: readonly string[], isPure?: boolean }>>}
 */
const layers = {
  core: { imports: [], packages: ['pg', 'zod'] },
  postgres: { imports: ['core'], packages: [] },

  access: { imports: ['core', 'postgres'], packages: ['zod'] },
  cache: { imports: ['core', 'postgres'], packages: ['lru-cache', 'redis', 'zod'] },
  catalog: {
    imports: ['core', 'postgres'],
    packages: ['drizzle-orm', 'email-providers', 'pg', 'tldts', 'uuid', 'zod'],
  },
  connections: { imports: ['core', 'postgres'], packages: ['pg'] },
  'connections/allocation': { imports: [], packages: [], isPure: true },
  // One connection and what runs on it, without the scheduler's files.
  'connections/session': {
    imports: [
      ...['core', 'postgres', 'connections/queries'],
      ...['connections/caller-context.ts', 'connections/connection-errors.ts'],
    ],
    packages: ['pg'],
  },
  'connections/queries': {
    imports: [
      ...['core', 'postgres', 'connections/session'],
      ...['connections/caller-context.ts', 'connections/connection-errors.ts'],
    ],
    packages: ['pg'],
  },
  databases: { imports: ['core', 'postgres', 'schema'], packages: ['pg', 'pg-copy-streams', 'uuid'] },
  // Archives of single tenants: what they look like, writing and reading them.
  backup: { imports: ['core', 'postgres'], packages: ['age-encryption', 'zod'] },
  // Work on all tenant databases.
  fleet: { imports: ['core', 'postgres'], packages: [] },
  // Reads SQL only: no connection, no file.
  'fleet/lint': { imports: ['core'], packages: ['libpg-query', 'zod'] },
  identity: { imports: ['core', 'postgres'], packages: ['jose', 'lru-cache'] },
  resolve: { imports: ['core', 'postgres'], packages: [] },
  // The kinds of migrations: folders and lists become migrations in order.
  schema: { imports: ['core', 'postgres'], packages: ['jiti', 'kysely', 'zod'] },

  http: { imports: ['core', 'postgres'], packages: ['zod'] },
  accounts: {
    imports: ['core', 'postgres', 'http'],
    packages: ['@node-rs/argon2', 'better-auth', 'jose', 'nodemailer', 'zod'],
  },
  // The management API: operations over the functions of `tenancy`.
  api: {
    imports: ['core', 'postgres', 'http', 'tenancy-interface.ts'],
    packages: ['@hono/zod-openapi', 'lru-cache', 'zod'],
  },
  // One row for each adapter, with its framework: adapters never import each other.
  'adapters/web': { imports: ['core', 'http'], packages: [] },
  'adapters/fastify': { imports: ['core', 'http'], packages: ['fastify'] },
  'adapters/hono': { imports: ['core', 'http'], packages: ['hono'] },

  // Puts the parts together.
  composition: {
    imports: [
      ...['core', 'postgres', 'access', 'backup', 'cache', 'catalog', 'connections', 'databases', 'fleet', 'identity'],
      ...['resolve', 'http'],
    ],
    packages: ['zod'],
  },
  'tenancy-interface.ts': { imports: ['core', 'catalog', 'databases', 'http', 'composition'], packages: [] },
  'tenancy-input.ts': { imports: ['core', 'catalog', 'composition', 'tenancy-interface.ts'], packages: ['zod'] },
  'tenancy.ts': {
    imports: [
      ...['core', 'catalog', 'connections', 'composition', 'http'],
      ...['tenancy-input.ts', 'tenancy-interface.ts'],
    ],
    packages: ['zod'],
  },
  // The command line. Nobody imports it.
  cli: {
    imports: ['core', 'schema', 'composition', 'tenancy-interface.ts', 'tenancy.ts', 'index.ts'],
    packages: ['@clack/prompts', 'cli-progress', 'commander', 'jiti'],
  },
  // Looks below the composition: at what may be broken, and without changing it.
  'cli/doctor': {
    imports: [
      ...['cli', 'core', 'postgres', 'catalog', 'connections', 'databases', 'composition'],
      ...['tenancy-interface.ts', 'tenancy.ts'],
    ],
    packages: ['redis'],
  },
  // The account and identity of one tenant's database.
  'cli/db': {
    imports: [
      'cli',
      'core',
      'catalog',
      'connections',
      'databases',
      'composition',
      'tenancy-interface.ts',
      'tenancy.ts',
    ],
    packages: [],
  },
  'index.ts': {
    imports: [
      ...['core', 'access', 'cache', 'catalog', 'connections', 'databases', 'fleet', 'composition'],
      ...['tenancy-interface.ts', 'tenancy.ts'],
    ],
    packages: [],
  },
}

/**
 * @typedef {{ specifier: string, line: number }} Import
 * @typedef {ReadonlyMap<string, readonly Import[]>} Modules by the file's path in the tree, with slashes
 */

/** All imports of a TypeScript file, in every form. */
function importsOf(path) {
  const source = readFileSync(path, 'utf8')
  const { program, errors } = parseSync(path, source)
  if (errors.length > 0) throw new Error(`${path} cannot be parsed: ${errors[0]?.message}`)
  /** @type {Import[]} */
  const found = []
  const add = (node) => {
    if (!node) return
    // An import of an expression is shown as it is written, and refused: nobody knows what it imports.
    const specifier = node.type === 'Literal' ? String(node.value) : source.slice(node.start, node.end)
    found.push({ specifier, line: source.slice(0, node.start).split('\n').length })
  }
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ImportExpression: (node) => add(node.source),
    TSImportType: (node) => add(node.source),
    TSExternalModuleReference: (node) => add(node.expression),
  }).visit(program)
  return found
}

/** @returns {Modules} */
function readModules(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  return new Map(files.toSorted().map((file) => [file.split(sep).join('/'), importsOf(join(folder, file))]))
}

const isInside = (file, layer) => file === layer || file.startsWith(`${layer}/`)

const layerOf = (file) =>
  Object.keys(layers)
    .filter((layer) => isInside(file, layer))
    .toSorted((a, b) => b.length - a.length)[0]

/** The file of a relative import (`./x.js` is compiled from `./x.ts`); undefined: a package, or of node:. */
const fileOf = (importer, specifier) =>
  /^\.\.?\//.test(specifier) ? posix.join(posix.dirname(importer), specifier).replace(/\.js$/, '.ts') : undefined

/** `@scope/name/path` and `name/path` without the path. */
const packageOf = (specifier) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier

/** Why a file may not import that; undefined: it may. */
function whyNot(modules, file, layer, specifier) {
  const { imports, packages, isPure = false } = layers[layer]
  if (specifier.startsWith('node:')) return isPure ? `${layer} is pure and may not import node:` : undefined
  const target = fileOf(file, specifier)
  if (target === undefined) {
    if (packages.includes(packageOf(specifier))) return undefined
    return `${layer} may import ${packages.length > 0 ? `the packages ${packages.join(', ')}` : 'no package'}`
  }
  if (!modules.has(target)) return 'there is no such file'
  if ([layer, ...imports].some((allowed) => isInside(target, allowed))) return undefined
  return `${layer} may import ${['itself', ...imports].join(', ')}`
}

/** @param {Modules} modules */
function brokenRules(modules) {
  return [...modules].flatMap(([file, imports]) => {
    const layer = layerOf(file)
    if (layer === undefined) return [`${file} is in no layer: give it a row in scripts/layers.js`]
    return imports.flatMap(({ specifier, line }) => {
      const reason = whyNot(modules, file, layer, specifier)
      return reason === undefined ? [] : [`${file}:${line} imports ${specifier}: ${reason}`]
    })
  })
}

/** The shortest way from a file back to itself; undefined: there is none. */
function circleOf(edges, start) {
  const ways = [[start]]
  const seen = new Set()
  for (const way of ways) {
    for (const next of edges.get(way.at(-1)) ?? []) {
      if (next === start) return [...way, start]
      if (seen.has(next)) continue
      seen.add(next)
      ways.push([...way, next])
    }
  }
  return undefined
}

/**
 * Each file that reaches itself is in one of the circles.
 *
 * @param {Modules} modules
 */
function circles(modules) {
  const edges = new Map(
    [...modules].map(([file, imports]) => [file, imports.map(({ specifier }) => fileOf(file, specifier))]),
  )
  const reported = new Set()
  return [...modules.keys()].flatMap((file) => {
    const circle = reported.has(file) ? undefined : circleOf(edges, file)
    for (const member of circle ?? []) reported.add(member)
    return circle === undefined ? [] : [`a circle of imports: ${circle.join(' -> ')}`]
  })
}

/** @param {Modules} modules */
function emptyLayers(modules) {
  const used = new Set([...modules.keys()].map(layerOf))
  const unused = Object.keys(layers).filter((layer) => !used.has(layer))
  return unused.map((layer) => `${layer} has no file: take its row out of scripts/layers.js`)
}

const source = join(dirname(fileURLToPath(import.meta.url)), '..', 'src')
const folder = process.argv[2] ?? source
const modules = readModules(folder)
const problems =
  modules.size === 0
    ? [`${folder} has no modules`]
    : [...brokenRules(modules), ...circles(modules), ...emptyLayers(modules)]
const imports = [...modules.values()].flat().length
console.log([...problems, `${modules.size} modules, ${imports} imports, ${problems.length} problems`].join('\n'))
process.exit(problems.length > 0 ? 1 : 0)
