import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { Denials } from '../../../src/connections/opening/denials.js'
import type { SessionClient } from '../../../src/connections/session/client/session-client.js'

const clientOf = (connection: EventEmitter) => ({ connection }) as unknown as SessionClient

test('a denial has its tenant’s privileges checked once in ten minutes, one tenant at a time, and other errors do not', async () => {
  const looked: string[] = []
  let finish = () => {}
  const denials = new Denials((key) => {
    looked.push(key)
    return new Promise<void>((resolve) => {
      finish = resolve
    })
  })
  const [acme, globex] = [new EventEmitter(), new EventEmitter()]
  denials.watch('acme', clientOf(acme))
  denials.watch('globex', clientOf(globex))
  acme.emit('errorMessage', { code: '42P01' })
  acme.emit('errorMessage', {})
  expect(looked).toEqual([])
  acme.emit('errorMessage', { code: '42501' })
  globex.emit('errorMessage', { code: '42501' })
  acme.emit('errorMessage', { code: '42501' })
  expect(looked).toEqual(['acme'])
  const settled = denials.settled()
  finish()
  await settled
  acme.emit('errorMessage', { code: '42501' })
  expect(looked).toEqual(['acme'])
  // This denial came while another tenant was checked, so the next one counts.
  globex.emit('errorMessage', { code: '42501' })
  expect(looked).toEqual(['acme', 'globex'])
  finish()
  await denials.settled()
})
