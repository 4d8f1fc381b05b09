import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const read = (file: string) => readFileSync(file, 'utf8')
const rows = [...read('docs/from-python.md').matchAll(/^\| (?!there)(?!-)([^|]+) \| ([^|]+) \|/gm)].map(
  ([, there = '', here = '']) => ({ there: there.trim().replaceAll('`', ''), here }),
)

const crud = (path: string, suffix = '') => [
  ...['GET', 'PATCH', 'DELETE'].map((method) => `${method} ${path}/{id}${suffix}`),
]
/** What the Python packages have. */
const theirs = [
  ...['POST /tenants/', 'GET /tenants/', 'GET /tenants/{id}', 'GET /tenants/slug/{slug}', 'PUT /tenants/{id}'],
  ...['DELETE /tenants/{id}', 'DELETE /tenants/{id}/permanent?confirm=true'],
  ...['GET /users/', 'POST /users/', 'GET /users/me', ...crud('/users')],
  ...['GET /roles/', 'POST /roles/', ...crud('/roles')],
  ...['GET /permissions/', 'POST /permissions/', ...crud('/permissions')],
  ...['GET /permissions/categories', 'POST /permissions/categories'],
  ...['GET /roles', 'POST /roles', ...crud('/roles', ' of the installation')],
  ...['/roles/{id}/permissions', 'POST /roles/assign', 'GET /roles/user/{uid}'],
  ...['GET /permissions', 'POST /permissions', ...crud('/permissions', ' of the installation')],
  ...['/permissions/categories', '/permissions/{id}/routes', 'POST /permissions/assign', 'GET /permissions/user/{uid}'],
  ...['GET /routes', 'POST /routes'],
  ...['POST /auth/token', 'POST /auth/users/', 'GET /auth/users/', 'GET /auth/users/by-email/{email}'],
  ...['POST /auth/confirm-email', 'POST /auth/resend-verification'],
  ...['migrate all tenants', 'seed all tenants (profiles dev, prod)', 'seed the permissions'],
]

test('Every endpoint of the Python packages has its row', () => {
  expect(rows.map(({ there }) => there).toSorted()).toEqual(theirs.toSorted())
})

test('Everything that a row names exists', () => {
  const { paths } = JSON.parse(read('docs/openapi.json')) as {
    readonly paths: Record<string, Record<string, { readonly operationId: string }>>
  }
  const operations = new Set(
    Object.values(paths)
      .flatMap((methods) => Object.values(methods))
      .map((each) => each.operationId),
  )
  const [commands, accounts] = [read('docs/cli.md'), read('docs/identity.md')]
  for (const { there, here } of rows) {
    const names = [...here.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
    expect(names, there).not.toEqual([])
    for (const name of names) {
      if (name.startsWith('tenants2fast '))
        expect(commands, there).toContain(`### ${name.slice('tenants2fast '.length)}\n`)
      else if (name.startsWith('POST /auth')) expect(accounts, there).toContain(name.replace('/auth', ''))
      else expect([...operations], there).toContain(name)
    }
  }
})
