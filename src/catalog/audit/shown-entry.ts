import { addressDigestIn, originKey } from './addresses.js'
import { digestIn, personalKey } from './personal.js'

/** Where the trigger of the table puts the operator: `0007_platform_administrators.sql` says why. */
const operatorKey = 'tenants2fast.operator'
/** Where `0022_api_keys.sql` puts the API key, for the same reason. */
const apiKeyKey = 'tenants2fast.apiKey'
const keys = `array['${operatorKey}', '${apiKeyKey}', '${originKey}']`
const has = (key: string) => `jsonb_typeof(after) = 'object' and after ? '${key}'`
const withoutOurs = `case when jsonb_typeof(after) = 'object' and after ?| ${keys} then nullif(after - ${keys}, '{}') else after end`

/** SQL: a column of an entry with its personal part, or `erased: true` in its place. */
const withPerson = (column: string) => `case when ${digestIn(column)} is null then ${column} else
    (${column} - '${personalKey}') || coalesce(
      (select facts from audit_personal where digest = ${digestIn(column)}), '{"erased": true}') end`

/** SQL: `before` of an entry of `audit_log`, as readers see it. */
export const shownBefore = withPerson('before')
/** SQL: `after`, without the operator, the API key and the origin. */
export const shownAfter = withPerson(`(${withoutOurs})`)
/** SQL: the operator; null: the entry names none. */
export const shownOperator = `case when ${has(operatorKey)} then after ->> '${operatorKey}' end`
/** SQL: the id of the API key that the change came with; null: none. */
export const shownApiKey = `case when ${has(apiKeyKey)} then after ->> '${apiKeyKey}' end`
const ofOrigin = (part: string) => `case when ${has(originKey)} then after -> '${originKey}' ${part} end`
/** SQL: the id of the request; null: it was made elsewhere than over HTTP. */
export const shownRequestId = ofOrigin(`->> 'requestId'`)
/** SQL: the network address of the client; null: it is not known, or went with whose it was. */
export const shownAddress = `(select address from audit_addresses where digest = ${addressDigestIn('after')})`
/** SQL: whether an administrator of the installation made the change with a token of the platform. */
export const shownIsPlatform = `coalesce(${ofOrigin(`-> 'platform'`)} = 'true', false)`
/** SQL: the administrator who acted as the actor, and the id of that impersonation; null: nobody did. */
export const shownImpersonation = ofOrigin(`-> 'impersonation'`)
