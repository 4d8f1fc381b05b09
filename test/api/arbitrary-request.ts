import fc from 'fast-check'
import type { OpenApiDocument } from '../../src/api/index.js'

/** A JSON schema, as far as the document uses it. */
interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly format?: string
  readonly anyOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
}

interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required?: boolean
  readonly schema: Schema
}

interface DocumentedOperation {
  readonly operationId: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
}

/** A request that an operation may or may not take. */
export interface DrawnRequest {
  /** `'GET /me/tenants'`. */
  readonly target: string
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>
}

/** Values that mean something in the installation, by the name of a parameter or field. */
export type KnownValues = Readonly<Record<string, readonly string[]>>

/** Text that programs trip over. */
const nasty = fc.constantFrom(
  ...['', ' ', '%', '_', '\u0000', '\ud800', "' or 1=1 --", '../..', '\u202e', 'constructor', '__proto__', 'null'],
  ...['a'.repeat(500), '🧨', '-1', '1e309', '00000000-0000-0000-0000-000000000000', 'İ'],
)
const anything = fc.oneof(nasty, fc.jsonValue(), fc.integer(), fc.constant(null), fc.boolean())

/** Draws requests of every operation in a document: most as it says, some not. */
export function arbitraryRequest(document: OpenApiDocument, known: KnownValues): fc.Arbitrary<DrawnRequest> {
  const paths = document['paths'] as Readonly<Record<string, Readonly<Record<string, DocumentedOperation>>>>
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => requestOf(path, method, operation)),
  )
  return fc.oneof(...all)

  function requestOf(path: string, method: string, operation: DocumentedOperation): fc.Arbitrary<DrawnRequest> {
    const { parameters = [], requestBody } = operation
    const of = (place: Parameter['in']) =>
      fc.record(
        Object.fromEntries(
          parameters.filter((each) => each.in === place).map(({ name, schema }) => [name, textOf(name, schema)]),
        ),
        { requiredKeys: place === 'path' ? undefined : [] } as { readonly requiredKeys: [] },
      )
    const schema = requestBody?.content['application/json']?.schema
    const body = schema === undefined ? fc.constant(undefined) : sometimes(valueOf('', schema), anything)
    return fc.tuple(of('path'), of('query'), of('header'), body).map(([params, query, headers, content]) => {
      const concrete = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encode(params[name] ?? ''))
      const search = Object.entries(query)
        .map(([name, value]) => `${encode(name)}=${encode(value)}`)
        .join('&')
      return {
        target: `${method.toUpperCase()} ${concrete}${search === '' ? '' : `?${search}`}`,
        body: content,
        headers: Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [name, (value ?? '').replaceAll(/[^\x20-\x7e]/g, '?')]),
        ),
      }
    })
  }

  function textOf(name: string, schema: Schema): fc.Arbitrary<string> {
    return sometimes(valueOf(name, schema).map(String), nasty)
  }

  function valueOf(name: string, schema: Schema): fc.Arbitrary<unknown> {
    const found = known[name]
    const typed = typedValueOf(schema)
    return found === undefined ? typed : fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...found) }, typed)
  }

  function typedValueOf(schema: Schema): fc.Arbitrary<unknown> {
    if (schema.$ref !== undefined) return typedValueOf(lookUp(schema.$ref))
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
    if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((each) => typedValueOf(each)))
    if (Array.isArray(schema.type)) {
      return fc.oneof(...schema.type.map((type: string) => typedValueOf({ ...schema, type })))
    }
    if (schema.type === 'integer' || schema.type === 'number') {
      return fc.integer({ min: schema.minimum ?? -10, max: Math.min(schema.maximum ?? 1_000_000, 1_000_000) })
    }
    if (schema.type === 'boolean') return fc.boolean()
    if (schema.type === 'null') return fc.constant(null)
    if (schema.type === 'array') {
      return fc.array(sometimes(valueOf('roles', schema.items ?? {}), anything), { maxLength: 4 })
    }
    if (schema.type === 'object') {
      const { properties = {}, required = [] } = schema
      const fields = Object.fromEntries(
        Object.entries(properties).map(([name, each]) => [name, sometimes(valueOf(name, each), anything)]),
      )
      return fc.record(fields, { requiredKeys: [...required] })
    }
    if (schema.format === 'uuid') return fc.uuid()
    if (schema.format === 'date-time') {
      return fc
        .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
        .map((each) => each.toISOString())
    }
    return fc.oneof(fc.string({ maxLength: 40 }), nasty)
  }

  function lookUp(reference: string): Schema {
    const name = reference.replace('#/components/schemas/', '')
    const { schemas } = document['components'] as { readonly schemas: Readonly<Record<string, Schema>> }
    const found = schemas[name]
    if (found === undefined) throw new Error(`the document has no ${reference}`)
    return found
  }
}

const encode = (text: unknown) => encodeURIComponent(Buffer.from(String(text)).toString())

/** Mostly the first, and once in a while the other. */
function sometimes<First, Other>(first: fc.Arbitrary<First>, other: fc.Arbitrary<Other>): fc.Arbitrary<First | Other> {
  return fc.oneof({ weight: 12, arbitrary: first }, { weight: 1, arbitrary: other })
}
