import { digestIn, personalKey } from './personal.js'

/** Where the trigger of the table puts the operator: `0007_platform_administrators.sql` says why. */
const operatorKey = 'tenants2fast.operator'
const hasOperator = `jsonb_typeof(after) = 'object' and after ? '${operatorKey}'`
const withoutOperator = `case when ${hasOperator} then nullif(after - '${operatorKey}', '{}') else after end`

/** SQL: a column of an entry with its personal part, or `erased: true` in its place. */
const withPerson = (column: string) => `case when ${digestIn(column)} is null then ${column} else
    (${column} - '${personalKey}') || coalesce(
      (select facts from audit_personal where digest = ${digestIn(column)}), '{"erased": true}') end`

/** SQL: `before` of an entry of `audit_log`, as readers see it. */
export const shownBefore = withPerson('before')
/** SQL: `after`, without the operator. */
export const shownAfter = withPerson(`(${withoutOperator})`)
/** SQL: the operator; null: the entry names none. */
export const shownOperator = `case when ${hasOperator} then after ->> '${operatorKey}' end`
