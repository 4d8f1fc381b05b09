export { type Api, createApi, type CreateApiOptions } from './create-api.js'
export type { OpenApiDocument } from './document.js'
export type { ApiLimits } from './limits/request-limits.js'
export type { InvitationToSend, OperationSettings } from './operation.js'
