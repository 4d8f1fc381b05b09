import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { OpenApiDocument } from '../../src/api/index.js'

type Responses = Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>

/**
 * Holds every answer against the document: its status is declared, and its body is as the schema says.
 *
 * @returns checks one answer of an operation: method in lower case, path as in the document
 */
export function createAnswerCheck(document: OpenApiDocument) {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema(document, 'document')
  const paths = document['paths'] as Readonly<
    Record<string, Readonly<Record<string, { readonly responses: Responses }>>>
  >
  const escape = (part: string) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))

  return (method: string, path: string, answer: { readonly status: number; readonly json: unknown }): void => {
    const declared = paths[path]?.[method]?.responses[answer.status]
    if (declared === undefined) {
      throw new Error(
        `${method} ${path} answered ${answer.status}, which is not in the document: ${JSON.stringify(answer.json)}`,
      )
    }
    const type = Object.keys(declared.content ?? {})[0]
    if (type === undefined) {
      if (answer.json !== undefined) throw new Error(`${method} ${path} answered ${answer.status} with a body`)
      return
    }
    const pointer = ['paths', path, method, 'responses', answer.status, 'content', type, 'schema']
    const validate = ajv.getSchema(`document#/${pointer.map((part) => escape(String(part))).join('/')}`)
    if (validate === undefined) throw new Error(`${method} ${path} has no schema for ${answer.status}`)
    if (type === 'application/octet-stream') return
    for (const json of type === 'application/x-ndjson' ? (answer.json as unknown[]) : [answer.json]) {
      if (validate(json) === true) continue
      throw new Error(`${method} ${path} ${answer.status} breaks the document: ${ajv.errorsText(validate.errors)}`)
    }
  }
}

/** Finds the path of the document that a concrete one is of; undefined: there is none. */
export function documentPathOf(document: OpenApiDocument, concrete: string): string | undefined {
  const given = concrete.split('?')[0]?.split('/') ?? []
  const fits = (path: string) => {
    const segments = path.split('/')
    return (
      segments.length === given.length &&
      segments.every((segment, index) => segment.startsWith('{') || segment === given[index])
    )
  }
  const literals = (path: string) => path.split('/').filter((segment) => !segment.startsWith('{')).length
  return Object.keys(document['paths'] as object)
    .filter(fits)
    .toSorted((a, b) => literals(b) - literals(a))[0]
}
