import Fastify, { type FastifyInstance } from 'fastify'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createApi } from '../../src/api/index.js'
import { findProgram, installed } from '../support/installed-program.js'
import { describeWith, testWith } from '../support/requirements.js'
import { type ApiApp, createApiApp } from './api-app.js'

const prefixes = ['', '/below/here']

describeWith(installed('chromium'), 'The page in a browser', () => {
  let api: ApiApp
  const apps = new Map<string, FastifyInstance>()
  let browser: Browser
  beforeAll(async () => {
    api = await createApiApp()
    const served = createApi({ tenancy: api.tenancy, reference: true, title: '<b>Our</b> API' })
    for (const prefix of prefixes) {
      const app = Fastify()
      apps.set(prefix, app)
      await app.register((scope) => scope.register(tenancyPlugin, { tenancy: api.tenancy, api: served }), { prefix })
      await app.listen({ port: 0, host: '127.0.0.1' })
    }
    browser = await chromium.launch({ executablePath: findProgram('chromium') ?? '', args: ['--no-sandbox'] })
  })
  afterAll(async () => {
    await browser?.close()
    for (const app of apps.values()) await app.close()
    await api.close()
  })

  /** Opens the page; `violations` are those of its policy, `requests` the addresses of everything that it asked for. */
  async function open(prefix: string, path: string) {
    const origin = apps.get(prefix)?.listeningOrigin ?? ''
    const page = await browser.newPage()
    const requests: string[] = []
    const errors: string[] = []
    page.on('request', (request) => requests.push(request.url()))
    page.on('pageerror', (error) => errors.push(error.message))
    // As text: the tests are typed for Node, without a document.
    await page.addInitScript({
      content: `globalThis.violations = []
        document.addEventListener('securitypolicyviolation', (event) =>
          globalThis.violations.push(event.violatedDirective + ' ' + event.blockedURI))`,
    })
    await page.goto(`${origin}${prefix}${path}`)
    await page.locator('.opblock').first().waitFor()
    const violations = () => page.evaluate<string[]>('globalThis.violations')
    return { page, origin, requests, errors, violations }
  }

  async function tryOut(page: Page, token: string): Promise<string> {
    await page.locator('.btn.authorize').click()
    await page.locator('.auth-container').first().locator('input').fill(token)
    await page.locator('.auth-container').first().locator('.btn.authorize').click()
    await page.locator('.btn-done').first().click()
    const operation = page.locator('.opblock', { has: page.locator('[data-path="/me"]') })
    await operation.locator('.opblock-summary-control').click()
    await operation.locator('.try-out__btn').click()
    await operation.locator('.btn.execute').click()
    return operation.locator('.live-responses-table tbody .response-col_status').first().innerText()
  }

  for (const prefix of prefixes) {
    testWith(
      undefined,
      `at ${prefix}/reference shows every operation, sends requests, and breaks no policy`,
      async () => {
        const { page, origin, requests, errors, violations } = await open(prefix, '/reference')
        const { paths } = JSON.parse(await (await fetch(`${origin}${prefix}/openapi.json`)).text()) as {
          paths: Record<string, object>
        }
        const operations = Object.values(paths).flatMap((methods) => Object.keys(methods))
        expect(await page.locator('.opblock').count()).toBe(operations.length)
        expect(await page.locator('.info .title').innerText()).toContain('<b>Our</b> API')
        const { token } = await api.createUser()
        expect(await tryOut(page, token)).toContain('200')
        expect(requests.at(-1)).toBe(`${origin}${prefix}/me`)
        expect(
          requests.filter((address) => !address.startsWith(`${origin}${prefix}/`) && !address.startsWith('data:')),
        ).toEqual([])
        expect([errors, await violations()]).toEqual([[], []])
        await page.close()
      },
    )
  }

  testWith(undefined, 'does nothing that its address says', async () => {
    const { page, origin, requests, violations } = await open(
      '',
      '/reference?url=https://elsewhere.example/x.json&configUrl=/me',
    )
    expect(requests.filter((address) => address.includes('/x.json') && !address.startsWith(origin))).toEqual([])
    expect(requests).not.toContain(`${origin}/me`)
    expect(await violations()).toEqual([])
    await page.close()
  })
})
