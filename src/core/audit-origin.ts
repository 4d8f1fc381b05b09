import type { AuditOrigin } from './context/audit-origin.js'
import { tryGetScope } from './context/request-scope.js'
import type { SqlStatement } from './sql-client.js'

/** The settings of a transaction by which the catalog's triggers know where its changes come from: names and values. */
function originSettings(): readonly (readonly [name: string, value: string])[] {
  const scope = tryGetScope()
  if (scope === undefined) return []
  const apiKey = scope.context.serviceAccount?.apiKey.id
  const { origin } = scope
  return [
    ...(apiKey === undefined ? [] : [['tenants2fast.api_key', apiKey] as const]),
    ...(origin === undefined ? [] : [['tenants2fast.origin', textOf(origin)] as const]),
  ]
}

/** SQL, of one row: sets them for the transaction, beside `columns` that set others. */
export function withOrigin(columns: readonly string[]): SqlStatement {
  const settings = originSettings()
  const all = [...columns, ...settings.map(([name], index) => `set_config('${name}', $${index + 1}, true)`)]
  return { text: `select ${all.join(', ')}`, values: settings.map(([, value]) => value) }
}

/** SQL: sets them for the transaction. Undefined: there is nothing to set. */
export function setOrigin(): SqlStatement | undefined {
  const { values = [], text } = withOrigin([])
  return values.length === 0 ? undefined : { text, values }
}

function textOf({ isPlatform, ...origin }: AuditOrigin): string {
  return JSON.stringify({ ...origin, ...(isPlatform === true ? { platform: true } : {}) })
}
