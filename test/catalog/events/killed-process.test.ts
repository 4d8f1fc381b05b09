import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { startNode } from '../../support/processes/node-process.js'

let installation: Installation
let tenancy: Tenancy

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
})
afterAll(() => installation.drop())

const program = `
  import { createTenancy } from 'tenants2fast'
  const tenancy = await createTenancy()
  await tenancy.onEvent({ name: 'killed', from: 'start', events: ['app.step'] }, async (event) => {
    process.stdout.write('handling ' + event.after.number + ';')
    // The process is killed in this one.
    if (event.after.number === 3) await new Promise(() => {})
  })
  process.stdout.write('ready;')
`

test('after a kill in the middle of a handler, another process goes on with that event', async () => {
  for (let number = 1; number <= 5; number += 1) await tenancy.audit.record({ action: 'app.step', data: { number } })
  const child = startNode([], { env: { ...installation.env }, program })
  await child.printed('handling 3;')
  child.kill('SIGKILL')
  expect(await child.ended).toBe('SIGKILL')
  const got: number[] = []
  const subscription = await tenancy.onEvent({ name: 'killed', events: ['app.step'] }, ({ after }) => {
    got.push((after as { number: number }).number)
  })
  while (got.at(-1) !== 5) await sleep(20)
  // What the killed process had handled in this batch may come again, and nothing is left out.
  expect(got.slice(got.indexOf(3))).toEqual([3, 4, 5])
  expect(got).toEqual([1, 2, 3, 4, 5].slice(5 - got.length))
  await subscription.close()
})
