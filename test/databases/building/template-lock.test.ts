import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { expect, test } from 'vitest'
import { templateLockKey } from '../../../src/databases/server/lock-keys.js'
import { lockTemplates } from '../../../src/databases/building/template-lock.js'
import { createInstallation, type Installation } from '../fixture.js'

const withInstallation = test.extend<{ installation: Installation }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest reads from the pattern what a fixture needs
  installation: async ({}, use) => {
    const installation = await createInstallation()
    await use(installation)
    await installation.drop()
  },
})

// Each test waits until a lease has expired: they run at the same time.

withInstallation.concurrent(
  'A process that hangs while it holds the lock of the templates is not waited for',
  { timeout: 60_000 },
  async ({ installation }) => {
    const { databases } = installation.open()
    const hung = new Client({ ...installation.server })
    hung.on('error', () => {})
    await hung.connect()
    await hung.query('select pg_advisory_lock($1)', [templateLockKey(installation, `${installation.prefix}template_`)])
    const gone = new Promise((resolve) => hung.once('end', resolve))
    await expect(databases.createTenantDatabase()).resolves.toMatchObject({ state: 'ready' })
    await gone
  },
)

withInstallation.concurrent(
  'A process that builds a template and sends heartbeats is waited for, longer than a lease',
  { timeout: 90_000 },
  async ({ installation }) => {
    await installation.writeSchema('0001_slow.sql', 'create table slow (id int); select pg_sleep(18)')
    const [one, other] = [installation.open().databases, installation.open().databases]
    const versions = await Promise.all([one.templateVersion(), sleep(100).then(() => other.templateVersion())])
    expect(versions[0]).toBe(versions[1])
    const { databases } = await installation.onServer()
    expect(databases.filter((name) => name.startsWith(`${installation.prefix}template_`))).toHaveLength(1)
  },
)

withInstallation.concurrent(
  'The wait for a process that builds a template without end has a limit',
  async ({ installation }) => {
    const [builder, other] = [new Client({ ...installation.server }), new Client({ ...installation.server })]
    await Promise.all([builder.connect(), other.connect()])
    const key = templateLockKey(installation, `${installation.prefix}template_`)
    await lockTemplates(builder, key)
    await expect(lockTemplates(other, key, 100)).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_LOCK_TIMEOUT',
      message: expect.stringContaining('the templates of tenant databases'),
    })
    // Its connection was not ended, because it sends heartbeats.
    await builder.query('select')
    await Promise.all([builder.end(), other.end()])
  },
)
