import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { TenancyError } from '../../core/errors/errors.js'
import type { PublicFile } from './public-files.js'

/** Where the page and the document that it shows are. */
export interface ReferencePaths {
  /** Path of the page; its files are below it. */
  readonly page: string
  readonly document: string
}

/**
 * What the page may load and do: its own files and requests to its own origin. No inline script or style, no `eval`, no frame
 * around it. `data:` is for the icons in the stylesheet.
 */
const contentSecurityPolicy = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ')

const pageHeaders = {
  'content-security-policy': contentSecurityPolicy,
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
}

/** The files that the page loads from the package. */
const assets = [
  { name: 'swagger-ui.css', type: 'text/css; charset=utf-8' },
  { name: 'swagger-ui-bundle.js', type: 'text/javascript; charset=utf-8' },
] as const

/**
 * Makes the page that shows the operations, with the files of the package `swagger-ui-dist` (an optional peer). They are read
 * once. Addresses in it are relative, so that it works below any prefix which a proxy or an application puts in front.
 *
 * @param find finds a file of the package. Default: as Node does
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export function createReferencePage(paths: ReferencePaths, find = findModule): PublicFile[] {
  const folder = paths.page.slice(paths.page.lastIndexOf('/') + 1)
  const html = [
    ...['<!doctype html>', '<html lang="en">', '<meta charset="utf-8">', '<title>API reference</title>'],
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<link rel="stylesheet" href="${folder}/swagger-ui.css">`,
    '<div id="reference"></div>',
    `<script src="${folder}/swagger-ui-bundle.js"></script>`,
    `<script src="${folder}/start.js"></script>`,
  ]
  // Without a validator, and nothing of the page's own address counts as configuration: both would be other hosts' doing.
  const settings = {
    ...{ url: relativePath(paths.page, paths.document), dom_id: '#reference', deepLinking: true },
    ...{ validatorUrl: null, queryConfigEnabled: false, persistAuthorization: false },
  }
  return [
    { path: paths.page, type: 'text/html; charset=utf-8', content: `${html.join('\n')}\n`, headers: pageHeaders },
    {
      path: `${paths.page}/start.js`,
      type: 'text/javascript; charset=utf-8',
      content: `SwaggerUIBundle(${JSON.stringify(settings)})\n`,
    },
    ...assets.map(({ name, type }) => ({ path: `${paths.page}/${name}`, type, content: readAsset(name, find) })),
  ]
}

function findModule(name: string): string {
  return createRequire(import.meta.url).resolve(name)
}

function readAsset(name: string, find: (name: string) => string): Buffer {
  try {
    return readFileSync(find(`swagger-ui-dist/${name}`))
  } catch (cause) {
    const message = 'The reference page needs the package swagger-ui-dist: npm install swagger-ui-dist@5'
    throw new TenancyError('TENANCY_CONFIG_PEER_MISSING', message, { cause })
  }
}

/** Gives the address of one path relative to another: `../openapi.json`. */
export function relativePath(from: string, to: string): string {
  const depth = from.split('/').length - 2
  return depth === 0 ? to.slice(1) || '.' : `${'../'.repeat(depth)}${to.slice(1)}`.replace(/\/$/, '')
}
