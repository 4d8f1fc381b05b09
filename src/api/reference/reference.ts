import { TenancyError } from '../../core/errors/errors.js'
import type { OpenApiDocument } from '../document.js'
import { createPublicFiles, type PublicFile, type PublicFiles } from './public-files.js'
import { createReferencePage, relativePath } from './reference-page.js'

/** What describes the API to people and programs. */
export interface ReferenceOptions {
  /**
   * Where the document is served, to anybody: `true` is `/openapi.json`. It says what operations there are, and so whether the
   * platform is switched on. Default: true.
   */
  readonly document?: boolean | string | undefined
  /**
   * Where a page shows the operations and sends requests to them, to anybody: `true` is `/reference`. It needs the package
   * `swagger-ui-dist`. Default: false.
   */
  readonly reference?: boolean | string | undefined
}

/** The document and the page, served. */
export interface Reference {
  readonly answer: PublicFiles
  /** The paths of the files. */
  readonly paths: readonly string[]
  /** Paths at and below which nothing else is. */
  readonly prefixes: readonly string[]
}

/**
 * Serves the document and the page.
 *
 * @param taken first segments of the paths of operations
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: a path is below one of those, or the page has no document;
 *   TENANCY_CONFIG_PEER_MISSING
 */
export function createReference(
  api: OpenApiDocument,
  { document: givenDocument = true, reference: givenPage = false }: ReferenceOptions,
  taken: ReadonlySet<string>,
): Reference {
  const document = pathOf(givenDocument, '/openapi.json')
  const page = pathOf(givenPage, '/reference')
  const files: PublicFile[] = []
  if (document !== undefined) {
    // Relative to where it is read: a proxy, or a scope of the application, may have put a prefix in front.
    const content = `${JSON.stringify({ ...api, servers: [{ url: relativePath(document, '/') }] })}\n`
    files.push({ path: document, type: 'application/json; charset=utf-8', content })
  }
  if (page !== undefined) {
    if (document === undefined) throw invalid('reference shows the document: leave document on')
    files.push(...createReferencePage({ page, document }))
  }
  const paths = files.map(({ path }) => path)
  for (const path of paths) {
    if (taken.has(path.split('/')[1] ?? '')) throw invalid(`${path} is where operations are: choose another path`)
  }
  if (new Set(paths).size < paths.length) throw invalid('document and reference are two paths')
  return { answer: createPublicFiles(files), paths, prefixes: [document, page].filter((path) => path !== undefined) }
}

function pathOf(given: boolean | string, usual: string): string | undefined {
  if (typeof given === 'string') return given
  return given ? usual : undefined
}

function invalid(message: string): TenancyError {
  return new TenancyError('TENANCY_CONFIG_INVALID', `createApi: ${message}`)
}
