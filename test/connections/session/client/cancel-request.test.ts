import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { requestCancel } from '../../../../src/connections/session/client/cancel-request.js'

// A certificate for localhost, made for this test. It is valid for a hundred years and protects nothing.
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgo3lC7xzGJKhV3QKc
08fHF36voTDMuKhwUk4RMvsqxkmhRANCAATHcZVjmUoTIqt8bGGeZmESOxFeGR39
lD4LYELvKL10EwPDOOFh+flIFRdI8+ikkKmbhOIKF/+vpNPWHGKZdHBa
-----END PRIVATE KEY-----`
const cert = `-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgIUQcqd2k8wovlSqcL9Hg5NqeDtJ5gwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODEyMjUxNFoYDzIxMjYxMTA0
MTIyNTE0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATHcZVjmUoTIqt8bGGeZmESOxFeGR39lD4LYELvKL10EwPDOOFh+flI
FRdI8+ikkKmbhOIKF/+vpNPWHGKZdHBao1MwUTAdBgNVHQ4EFgQUCeRkHKlG7SzC
NIgtiFYC/pw7zDgwHwYDVR0jBBgwFoAUCeRkHKlG7SzCNIgtiFYC/pw7zDgwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAqdI0UoUWdt2nOq5Qe/8b
yw7RvEY7kepqOIQvpInExkACIQCE8FEBvzk7TEadktIMARcb/iODLXXPFRkbo8cd
rbUKMg==
-----END CERTIFICATE-----`

let server: Server | undefined
afterEach(() => server?.close())

async function listen(onConnection: (socket: Socket) => void): Promise<{ host: string; port: number }> {
  server = createServer(onConnection).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

const request = Buffer.from([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 0, 0, 0, 9])
const encryption = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

test('a request to cancel carries the process id and key, and resolves when the server hangs up', async () => {
  const seen: Buffer[] = []
  const address = await listen((socket) => {
    socket.once('data', (data: Buffer) => {
      seen.push(data)
      socket.end()
    })
  })
  await requestCancel(address, 7, 9)
  expect(seen).toEqual([request])
})

test('a request to cancel is encrypted when its connection is', async () => {
  const seen: Buffer[] = []
  const address = await listen((socket) => {
    socket.once('data', (question: Buffer) => {
      seen.push(question)
      socket.write('S')
      const encrypted = new TLSSocket(socket, { isServer: true, key, cert })
      encrypted.once('data', (data: Buffer) => {
        seen.push(data)
        encrypted.end()
        socket.end()
      })
    })
  })
  await requestCancel(address, 7, 9, { ca: cert, checkServerIdentity: () => undefined })
  expect(seen).toEqual([encryption, request])
})

test.each([
  ['does not encrypt', (socket: Socket) => socket.write('N')],
  ['says more than it was asked', (socket: Socket) => socket.write('SS')],
  ['has a certificate that nobody trusts', encrypt],
])('a server that %s does not learn the key of a request to cancel', async (_name, answer) => {
  const seen: Buffer[] = []
  const address = await listen((socket) => {
    socket.on('error', () => {})
    socket.once('data', (question: Buffer) => {
      seen.push(question)
      answer(socket)
      if (answer !== encrypt) socket.on('data', (data: Buffer) => seen.push(data))
    })
  })
  await requestCancel(address, 7, 9, {})
  expect(seen).toEqual([encryption])
})

function encrypt(socket: Socket): void {
  socket.write('S')
  const encrypted = new TLSSocket(socket, { isServer: true, key, cert }).on('error', () => {})
  encrypted.on('data', () => {
    throw new Error('something was sent to a server that is not trusted')
  })
}
