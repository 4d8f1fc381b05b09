import { OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi'
import type { Operation } from './operation.js'
import { streamTypes } from './serving/stream-answer.js'
import type { ServedOperation } from './serving/route-table.js'

/** An OpenAPI 3.1 document, as plain JSON. */
export type OpenApiDocument = Readonly<Record<string, unknown>>

const fault = z
  .object({
    pointer: z.string().optional().openapi({
      description: 'A field of the body, as the fragment of a URI (RFC 6901); `#`: the body as a whole',
      example: '#/email',
    }),
    parameter: z.string().optional().openapi({ description: 'A parameter of the path or the query' }),
    header: z.string().optional().openapi({ description: 'A header' }),
    detail: z.string().openapi({ description: 'What is wrong there, without the value' }),
  })
  .openapi('Fault', { description: 'One fault, with one of the places; without: the address as a whole' })

const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    code: z
      .string()
      .optional()
      .openapi({ description: 'The code of docs/errors.md', example: 'TENANCY_ACCESS_DENIED' }),
    detail: z.string().optional(),
    errors: z
      .array(fault)
      .optional()
      .openapi({ description: 'Where the request is wrong: with every 400, 413 and 415, and some 422' }),
    requestId: z.string().optional(),
  })
  .openapi('Problem', { description: 'An error (RFC 9457)' })

const refusals: Readonly<Record<number, string>> = {
  400: 'The request is not as the document says',
  401: 'No bearer token, or one that is not valid',
  403: 'No permission, or no such tenant for the caller',
  404: 'What the path names does not exist',
  405: 'Another method',
  409: 'It conflicts with what is there',
  412: 'It has changed since it was read (If-Match)',
  413: 'The body is too large',
  415: 'The body is not JSON in UTF-8',
  416: 'The range begins behind the end of the file',
  422: 'What is asked for is not possible',
  429: 'Too many requests: wait for as long as Retry-After says',
  503: 'Out of order for a moment: wait for as long as Retry-After says',
}
const always = [400, 401, 403, 404, 429, 503]
const withBody = [413, 415]

/** Facts of the document that are the application's. */
export interface DocumentFacts {
  readonly title: string
  readonly version: string
}

/** Describes operations in OpenAPI 3.1, from the same schemas that check requests. */
export function createDocument(served: readonly ServedOperation[], info: DocumentFacts): OpenApiDocument {
  const app = new OpenAPIHono()
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    ...{ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    description: 'An access token of this installation or of an issuer that it trusts',
  })
  app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
    ...{ type: 'http', scheme: 'bearer', bearerFormat: 't2f_…' },
    description: 'An API key of the tenant that the path names, with the permission of the operation',
  })
  if (served.some(({ operation }) => 'platform' in operation.access)) {
    app.openAPIRegistry.registerComponent('securitySchemes', 'platform', {
      ...{ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
      description: 'A token of a platform administrator, from `POST /platform/token`',
    })
  }
  for (const { operation, path } of served) app.openAPIRegistry.registerPath(routeOf(operation, path))
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { ...info, license: { name: 'MIT', url: 'https://opensource.org/license/mit' } },
    servers: [{ url: '/' }],
  })
  // Without undefined members, which JSON has no form for.
  return JSON.parse(JSON.stringify(document)) as OpenApiDocument
}

function routeOf(operation: Operation, path: string): RouteConfig {
  const { id, method, group, summary, description, params, query, body, answer } = operation
  return {
    ...{ operationId: id, method, path, tags: [group], summary },
    ...(description === undefined ? {} : { description }),
    security: securityOf(operation),
    request: {
      ...(Object.keys(params.shape).length === 0 ? {} : { params }),
      ...(Object.keys(query.shape).length === 0 ? {} : { query }),
      ...(body === undefined
        ? {}
        : { body: { required: !body.safeParse({}).success, content: { 'application/json': { schema: body } } } }),
      headers: headersOf(operation),
    },
    responses: {
      [answer.status]: {
        description: answer.description,
        ...contentOf(operation),
        ...(operation.takesRange ? { headers: fileHeaders } : {}),
        ...(operation.taggedBy === undefined ? {} : { headers: z.object({ ETag: z.string() }) }),
      },
      ...(operation.takesRange
        ? {
            206: {
              description: 'The part that Range asks for',
              ...contentOf(operation),
              headers: fileHeaders.extend({ 'Content-Range': z.string() }),
            },
          }
        : {}),
      ...Object.fromEntries(refusalsOf(operation).map((status) => [status, refusalOf(status)])),
    },
  }
}

const fileHeaders = z.object({
  ETag: z.string(),
  'Content-Length': z.string().openapi({ type: 'integer' }),
  'Accept-Ranges': z.literal('bytes'),
})

function contentOf({ answer: { schema, stream } }: Operation) {
  if (stream === 'bytes') {
    return { content: { [streamTypes.bytes]: { schema: { type: 'string' as const, format: 'binary' } } } }
  }
  return schema === undefined
    ? {}
    : { content: { [stream === undefined ? 'application/json' : streamTypes[stream]]: { schema } } }
}

function securityOf({ access }: Operation) {
  if ('anyone' in access) return []
  if ('permission' in access) return [{ bearer: [] }, { apiKey: [] }]
  return ['platform' in access ? { platform: [] } : { bearer: [] }]
}

function headersOf({ recovery, takesTag, takesRange, access, path }: Operation): z.ZodObject[] {
  const headers = {
    ...('everyMember' in access && !path.includes('{tenant}')
      ? { 'X-Tenant-Id': z.string().optional().openapi({ description: 'Id or slug. Default: the default tenant' }) }
      : {}),
    ...(recovery !== undefined
      ? {
          'Idempotency-Key': z.string().min(1).max(200).optional().openapi({
            description: 'The same request with the same key is done once, and answered the same for a day',
          }),
        }
      : {}),
    ...(takesRange
      ? {
          Range: z.string().optional().openapi({ description: 'One range of bytes (RFC 9110, 14.2)' }),
          'If-Range': z.string().optional().openapi({ description: 'The ETag of the part that is there already' }),
        }
      : {}),
    ...(takesTag ? { 'If-Match': z.string().optional().openapi({ description: 'The ETag of what was read' }) } : {}),
  }
  return Object.keys(headers).length === 0 ? [] : [z.object(headers)]
}

/** Every status but the successful one that an operation can answer. */
export function refusalsOf({ body, takesTag, takesRange, recovery, refusals: own }: Operation): number[] {
  const all = new Set([...always, ...own])
  if (takesRange) all.add(416)
  if (body !== undefined) for (const status of withBody) all.add(status)
  if (takesTag) all.add(412)
  if (recovery !== undefined) for (const status of [409, 422]) all.add(status)
  return [...all].toSorted((a, b) => a - b)
}

const refusalOf = (status: number) => ({
  description: refusals[status] ?? 'Refused',
  content: { 'application/problem+json': { schema: problem } },
})
