import { describe, expect, test } from 'vitest'
import { toApiRequest, toWebRequest } from '../../src/http/web-request.js'

const request = { method: 'POST', url: '/me?a=b', headers: {}, body: undefined }

describe('What the management API reads of a request of Node', () => {
  test.each(['a', 'a b', '', ' a', 'a\t', '\na\r', 'ä', 'a\u00a0', '\u00a0', 'a, b'])(
    'A header %j is read as a Request reads it',
    (value) => {
      const facts = { ...request, headers: { 'x-tenant-id': value } }
      expect(toApiRequest(facts).headers.get('x-tenant-id')).toBe(toWebRequest(facts).headers.get('x-tenant-id'))
    },
  )

  test.each(['a\nb', 'a\0', 'a\rb', 'Ā'])('A header %j, which no Request has, is refused where it is read', (value) => {
    const facts = { ...request, headers: { 'x-tenant-id': value } }
    expect(() => toWebRequest(facts)).toThrow('cannot be read')
    expect(() => toApiRequest(facts).headers.get('x-tenant-id')).toThrow('cannot be read')
    expect(toApiRequest(facts).headers.get('authorization')).toBeNull()
  })

  test('A method that a Request refuses is refused', () => {
    expect(() => toApiRequest({ ...request, method: 'TRACE' })).toThrow('cannot be read')
  })

  test('GET and HEAD have no body, and no other method has one that is not bytes', () => {
    const body = Buffer.from('{}')
    expect(toApiRequest({ ...request, method: 'GET', body }).body).toBeNull()
    expect(toApiRequest({ ...request, method: 'HEAD', body }).body).toBeNull()
    expect(toApiRequest({ ...request, body: '{}' }).body).toBeNull()
    expect([...(toApiRequest({ ...request, body }).body as Iterable<Uint8Array>)]).toEqual([body])
  })
})
