import { afterAll, beforeAll, expect, test } from 'vitest'
import { startNode } from '../support/processes/node-process.js'
import { type BackupFixture, createBackupFixture } from './fixture.js'

let fixture: BackupFixture

beforeAll(async () => {
  fixture = await createBackupFixture()
})
afterAll(() => fixture?.drop())

/** A process that restores or backs up, and stops for good at the given moment. */
const program = (call: string, phase: string) => `
  import { createTenancy, loadConfig } from 'tenants2fast'
  const quiet = { debug() {}, info() {}, warn() {}, error() {} }
  const tenancy = await createTenancy({ config: loadConfig(process.env), logger: quiet })
  const onProgress = (progress) => {
    if (progress.phase !== '${phase}' || (progress.phase === 'data' && progress.tablesDone === 0)) return
    process.stdout.write('now\\n')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  }
  await tenancy.${call}
`

const killAt = async (call: string, phase: string) => {
  const child = startNode([], { env: fixture.installation.env, program: program(call, phase) })
  await child.printed('now')
  child.kill('SIGKILL')
  expect(await child.ended).toBe('SIGKILL')
}

test.each(['data', 'check'])(
  'a restore that is killed (%s) changes nothing, and what it built is dropped',
  async (phase) => {
    const { tenancy, installation, items } = fixture
    const tenant = await fixture.newTenant()
    const from = fixture.path()
    await tenancy.backup({ tenant: tenant.id, to: from, method: 'copy' })
    await tenancy.getTenantPool(tenant).query("insert into items (name) values ('after')")
    const before = [await items(tenant), await installation.onServer()]
    await killAt(`restore({ from: ${JSON.stringify(from)}, tenant: '${tenant.id}', onProgress })`, phase)
    expect(await items(tenant)).toEqual(before[0])
    // The killed process's sessions end when the server notices: then its lock is free.
    await expect
      .poll(
        async () => {
          await tenancy.reconcile()
          return installation.onServer()
        },
        { timeout: 60_000, interval: 500 },
      )
      .toEqual(before[1])
    expect(await items(tenant)).toEqual(before[0])
  },
)

test('a backup that is killed leaves nothing under its name, and the next one cleans up after it', async () => {
  const { tenancy, folder } = fixture
  const { readdir, stat } = await import('node:fs/promises')
  const tenant = await fixture.newTenant()
  const to = fixture.path()
  await killAt(`backup({ tenant: '${tenant.id}', to: ${JSON.stringify(to)}, method: 'copy', onProgress })`, 'data')
  await expect(stat(to)).rejects.toThrow('ENOENT')
  expect((await readdir(folder)).filter((name) => name.includes('.partial.'))).toHaveLength(1)
  await tenancy.backup({ tenant: tenant.id, to, method: 'copy' })
  expect((await readdir(folder)).filter((name) => name.includes('.partial.'))).toEqual([])
  await tenancy.restore({ from: to, tenant: tenant.id })
})
