import { digestIn, personalKey } from './personal.js'

/** Where the trigger of the table puts the operator: `0007_platform_administrators.sql` says why. */
const operatorKey = 'tenants2fast.operator'
/** Where `0022_api_keys.sql` puts the API key, for the same reason. */
const apiKeyKey = 'tenants2fast.apiKey'
const keys = `array['${operatorKey}', '${apiKeyKey}']`
const has = (key: string) => `jsonb_typeof(after) = 'object' and after ? '${key}'`
const withoutOurs = `case when jsonb_typeof(after) = 'object' and after ?| ${keys} then nullif(after - ${keys}, '{}') else after end`

/** SQL: a column of an entry with its personal part, or `erased: true` in its place. */
const withPerson = (column: string) => `case when ${digestIn(column)} is null then ${column} else
    (${column} - '${personalKey}') || coalesce(
      (select facts from audit_personal where digest = ${digestIn(column)}), '{"erased": true}') end`

/** SQL: `before` of an entry of `audit_log`, as readers see it. */
export const shownBefore = withPerson('before')
/** SQL: `after`, without the operator and the API key. */
export const shownAfter = withPerson(`(${withoutOurs})`)
/** SQL: the operator; null: the entry names none. */
export const shownOperator = `case when ${has(operatorKey)} then after ->> '${operatorKey}' end`
/** SQL: the id of the API key that the change came with; null: none. */
export const shownApiKey = `case when ${has(apiKeyKey)} then after ->> '${apiKeyKey}' end`
