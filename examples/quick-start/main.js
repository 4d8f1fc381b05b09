// @ts-check
// `npm start`: the quick start with two demo tenants. Ctrl-C stops everything; the data stays.
import { fileURLToPath } from 'node:url'
import { createTenancy, isTenancyError, loadConfig } from 'tenants2fast'
import { createApp } from './app.js'
import { createDemoData } from './demo-data.js'
import { describeFreshStart } from './outdated-data.js'

const port = Number(process.env['PORT'] ?? 3000)
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  console.error(`PORT is a number from 0 to 65535, not ${JSON.stringify(process.env['PORT'])}`)
  process.exit(1)
}

// Stopping must work from the first moment on: a signal during start-up stops what has been started so far.
const stopping = new Promise((resolve) => {
  process.once('SIGINT', resolve)
  process.once('SIGTERM', resolve)
})

const schemaDir = fileURLToPath(new URL('schema', import.meta.url))
const tenancy = await createTenancy({ schemaDir }).catch((error) => {
  if (!isTenancyError(error, 'TENANCY_CATALOG_OUTDATED')) throw error
  console.error(describeFreshStart(loadConfig()))
  process.exit(1)
})
/** @type {Awaited<ReturnType<typeof createApp>> | undefined} */
let app
try {
  const { dana, max } = await createDemoData(tenancy)
  app = await createApp(tenancy)
  const address = await app.listen({ port, host: '127.0.0.1' })
  const danaToken = await tenancy.issueAccessToken({ user: dana.id })
  const maxToken = await tenancy.issueAccessToken({ user: max.id })
  /** @param {string} title @param {string} command @param {string} expected */
  const show = (title, command, expected) => console.log(`\n# ${title}\n${command}\n# → ${expected}`)
  /** @param {{ token: string }} token @param {string} tenant @param {string} path */
  const curl = ({ token }, tenant, path) =>
    `curl -s -w '\\n%{http_code}\\n' ${address}${path} -H 'X-Tenant-Id: ${tenant}' -H 'Authorization: Bearer ${token}'`
  console.log(`tenants2fast quick start, listening on ${address} (${tenancy.serverDescription})`)
  console.log(`The tokens below are valid for ${danaToken.expiresIn / 60} minutes; start again for new ones.`)
  show('Dana asks which tenant she is in', curl(danaToken, 'acme', '/me/tenant'), '200 Acme Corporation')
  show('Dana, an Owner, may read the reports', curl(danaToken, 'acme', '/reports'), '200')
  show('Max, a Member, may not', curl(maxToken, 'acme', '/reports'), '403 TENANCY_ACCESS_DENIED')
  show('Max reads the notes of Acme', curl(maxToken, 'acme', '/notes'), '200, Acme’s notes')
  show('Dana reads the notes of Globex: another database', curl(danaToken, 'globex', '/notes'), '200, Globex’s notes')
  show('Max forges the tenant header', curl(maxToken, 'globex', '/notes'), '403 TENANCY_TENANT_FORBIDDEN')
  /** @param {{ token: string }} token @param {string} path @param {object} body @param {string} key */
  const post = ({ token }, path, body, key) =>
    `curl -s -w '\\n%{http_code}\\n' ${address}${path} -H 'Authorization: Bearer ${token}' -H 'Idempotency-Key: ${key}' ` +
    `-H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`
  show(
    'Max makes a tenant of his own, with its database; the same key makes it once',
    post(maxToken, '/tenants', { name: 'Initech', slug: 'initech' }, 'quick-start'),
    '201; a day later 409, because it is there',
  )
  show(
    'Dana invites somebody to Acme; the token is for a link in a mail',
    post(
      danaToken,
      '/tenants/acme/invitations',
      // Another address at each start: one address gets few mails from one tenant.
      { email: `you-${Date.now().toString(36)}@example.com`, roles: ['Member'] },
      Date.now().toString(),
    ),
    '201',
  )
  console.log('\nCtrl-C stops it; the data is kept.')
  await stopping
} finally {
  await app?.close()
  await tenancy.close()
}
