import { z } from '@hono/zod-openapi'
import type { RequestContext } from '../core/context/request-scope.js'
import type { Tenant, User } from '../core/model.js'
import type { Tenancy } from '../tenancy-interface.js'
import type { InvitationLimits } from './limits/invitation-limits.js'

/**
 * Who may call an operation. `permission`: a member of the tenant who holds it, or a service account whose API key has it; nothing
 * else takes an API key. `everyMember`: any member of the tenant.
 * `everyUser`: whoever is signed in, in no tenant. `platform`: an administrator of the installation, with a token of the
 * platform, which no other operation takes. An operation names one of them: none is open by omission.
 */
export type OperationAccess =
  | { readonly permission: string }
  | { readonly everyMember: true }
  | { readonly everyUser: true }
  | { readonly anyone: true }
  | { readonly platform: true }

/**
 * Whether an administrator of the installation may call an operation as the member whom they act as. `onOthers`: unless the path names
 * that member, or the administrator. False where ownership, keys, the rights of anybody or what is the person's own would change.
 */
export type WhileImpersonating = boolean | 'onOthers'

/** Tenants that users make for themselves. */
export interface SelfService {
  /**
   * Most tenants that one user has created and that are not purged; deleted ones count, as their databases are kept. 0: users
   * create none, the platform does. Infinity: no limit. Default: 10.
   */
  readonly tenantsPerUser?: number
  /** Most members of a tenant that a user creates; null: no limit. The platform can change it. Default: null. */
  readonly maxUsers?: number | null
}

/** What the application decides about operations. */
export interface OperationSettings {
  /** Default: see {@link SelfService}. */
  readonly selfService?: SelfService | undefined
  /**
   * Whether members change the `attributes` of their own profiles; position and department they always do. Say no where an
   * attribute decides something, such as a cost centre. Default: false.
   */
  readonly membersChangeAttributes?: boolean | undefined
  /**
   * Sends the token of an invitation to the invited address. Default: nobody does, and the answer of the operation has the
   * token, for the caller to pass on.
   */
  readonly sendInvitation?: ((sent: InvitationToSend) => Promise<void>) | undefined
}

/** An invitation on its way to its address. */
export interface InvitationToSend {
  readonly email: string
  /** For the link: whoever has it and proves the address becomes a member. */
  readonly token: string
  readonly expiresAt: Date
  readonly tenant: Tenant
  readonly invitedBy: User
}

/** A call of an operation, checked. */
export interface OperationCall<Params, Query, Body> {
  readonly params: Params
  readonly query: Query
  readonly body: Body
  /**
   * The person who calls.
   * @throws TENANCY_AUTH_REQUIRED: nobody is authenticated, where `anyone` may call; TENANCY_AUTH_PERSON_REQUIRED: a service
   *   account calls
   */
  readonly user: User
  readonly context: RequestContext
  /**
   * The tenant of the request and the caller, a user or service account, by id: for functions that change something in it.
   * @throws TENANCY_TENANT_NONE, TENANCY_AUTH_REQUIRED: the operation is in no tenant
   */
  readonly scope: { readonly tenant: string; readonly actor: string }
  readonly tenancy: Tenancy
  readonly settings: OperationSettings
  /** Counts mails with invitations; called before one is made or sent again. */
  readonly invitationLimits: InvitationLimits
  /** Counts the tenants that a user has created and that are not purged. */
  readonly countTenants: (user: string) => Promise<number>
  /** The tag of `If-Match`: the change is only for what has this tag still. Undefined: for whatever is there. */
  readonly expectedTag: string | undefined
  /** The headers of a range (RFC 9110, 14.2 and 13.1.5), as they came; undefined: not sent, or not for GET. */
  readonly range: RangeHeaders
}

/** What a request says about the part of a file that it wants. */
export interface RangeHeaders {
  readonly range: string | undefined
  readonly ifRange: string | undefined
}

/** An answer that is sent as it is read: it is never whole in memory, and a slow reader slows the reading down. */
export interface StreamedAnswer<Item = unknown> {
  /** Default: that of the operation. */
  readonly status?: 200 | 206
  /** Beside those that every answer has. */
  readonly headers?: Readonly<Record<string, string>>
  /** Begins to read: items for `lines`, bytes for `bytes`. It is not called for HEAD. It is left (`return`) when the reader goes. */
  readonly read: () => AsyncIterable<Item>
}

/** How an answer is streamed. `lines`: one JSON document a line, each of the answer's schema. `bytes`: a file. */
export type AnswerStream = 'lines' | 'bytes'

/** The methods of operations. HEAD answers as GET does, without the body. */
export type OperationMethod = 'get' | 'post' | 'put' | 'patch' | 'delete'

/** What is known of an earlier request with the same `Idempotency-Key`, whose process ended before it had answered. */
export interface LostRequest {
  /** The id or name in the subject of its change; undefined: none is known. */
  readonly made: string | undefined
  /** When it was begun. What is older was not made by it. */
  readonly begunAt: Date
}

/** How a request with an `Idempotency-Key` is answered when its process has ended after the change, and before the answer. */
export interface Recovery<Call, Answer> {
  /**
   * What the audit log calls the change, such as `role.create`, if the function notes it for such requests: those that end with
   * `commitChange` do. Default: what was made is found by what the request says.
   */
  readonly action?: string
  /** Makes the answer again, without what is shown once; undefined: nothing was made. */
  find(call: Call, lost: LostRequest): Promise<Answer | undefined>
}

/** What an operation is made of. Schemas check what comes in, and say in the document what goes out. */
interface OperationInput<
  Params extends z.ZodObject,
  Query extends z.ZodObject,
  Body extends z.ZodType,
  Answer extends z.ZodType,
> {
  /** Name in the document (`operationId`), and of the function that a generated client has. */
  readonly id: string
  readonly method: OperationMethod
  /** `/tenants/{tenant}/members`: parameters in braces. The first segment `tenants` stands for `TENANT_URL_PREFIX`. */
  readonly path: string
  /** Group in the document. */
  readonly group: string
  readonly summary: string
  readonly description?: string
  readonly access: OperationAccess
  /** Default: none. */
  readonly params?: Params
  /** Fields of the query, as text. Default: none. */
  readonly query?: Query
  /** Default: none; a body is refused then. */
  readonly body?: Body
  /** What a successful call answers. Without a schema: no body. */
  readonly answer: {
    readonly status: 200 | 201 | 204
    readonly description: string
    readonly schema?: Answer
    /** `run` gives a {@link StreamedAnswer}. Default: it gives the document. */
    readonly stream?: AnswerStream
  }
  /** Whether it answers a part of a file (`Range`). Default: false; the header is ignored then. */
  readonly takesRange?: boolean
  /** The field of the answer that its `ETag` is made of: the moment of the last change, or a version. Default: there is no tag. */
  readonly taggedBy?: 'updatedAt' | 'version'
  /** Whether the operation takes `If-Match` (`expectedTag`). Default: false; the header is refused then. */
  readonly takesTag?: boolean
  /** With it, a retry with the same `Idempotency-Key` gets the first answer. Default: the header is refused. */
  readonly recovery?: Recovery<OperationCall<z.output<Params>, z.output<Query>, z.output<Body>>, z.input<Answer>>
  /** Default: false, so that whoever adds an operation decides. It means nothing but in a tenant. */
  readonly whileImpersonating?: WhileImpersonating
  /** Fields of the answer that are shown once: a replay has null instead. Default: none. */
  readonly secrets?: readonly string[]
  /** Whether it changes nothing though its method may, as a question with a body: it is counted as a read. Default: for GET. */
  readonly isRead?: boolean
  /**
   * Whether the answer follows from the context of the request and the rules of access alone. It is then made once for each
   * context, which is one object for as long as nothing about its caller has changed. Default: false.
   */
  readonly isOfContext?: boolean
  /** Statuses of refusals beside those that every operation has. */
  readonly refusals?: readonly (403 | 404 | 409 | 412 | 422)[]
  run(
    call: OperationCall<z.output<Params>, z.output<Query>, z.output<Body>>,
  ): Promise<z.input<Answer> | StreamedAnswer<z.input<Answer> | Uint8Array> | undefined | void>
}

/** An operation of the management API. */
export interface Operation {
  readonly id: string
  readonly method: OperationMethod
  readonly path: string
  readonly group: string
  readonly summary: string
  readonly description: string | undefined
  readonly access: OperationAccess
  readonly params: z.ZodObject
  readonly query: z.ZodObject
  readonly body: z.ZodType | undefined
  readonly answer: {
    readonly status: 200 | 201 | 204
    readonly description: string
    readonly schema: z.ZodType | undefined
    readonly stream: AnswerStream | undefined
  }
  readonly takesRange: boolean
  readonly takesTag: boolean
  /** Undefined: the operation takes no `Idempotency-Key`. */
  readonly recovery: Recovery<OperationCall<unknown, unknown, unknown>, unknown> | undefined
  readonly whileImpersonating: WhileImpersonating
  readonly isRead: boolean
  readonly isOfContext: boolean
  readonly secrets: readonly string[]
  readonly refusals: readonly number[]
  readonly taggedBy: 'updatedAt' | 'version' | undefined
  run(call: OperationCall<unknown, unknown, unknown>): Promise<unknown>
}

const nothing = z.strictObject({})

/** Defines an operation. The parts that it leaves out take nothing. */
export function defineOperation<
  Params extends z.ZodObject = typeof nothing,
  Query extends z.ZodObject = typeof nothing,
  Body extends z.ZodType = z.ZodUndefined,
  Answer extends z.ZodType = z.ZodUndefined,
>(input: OperationInput<Params, Query, Body, Answer>): Operation {
  type Call = OperationCall<z.output<Params>, z.output<Query>, z.output<Body>>
  const {
    description,
    params,
    query,
    body,
    answer,
    takesTag = false,
    takesRange = false,
    recovery,
    whileImpersonating = false,
    isRead = input.method === 'get',
    isOfContext = false,
    secrets = [],
    refusals = [],
  } = input
  return {
    ...input,
    description,
    params: params ?? nothing,
    query: query ?? nothing,
    body,
    answer: { ...answer, schema: answer.schema, stream: answer.stream },
    ...{ takesTag, takesRange, whileImpersonating, isRead, isOfContext, secrets, refusals },
    taggedBy: input.taggedBy,
    recovery: recovery && { ...recovery, find: async (call, lost) => recovery.find(call as Call, lost) },
    // The parts were checked with the schemas of this operation.
    run: (call) => input.run(call as Call),
  }
}
