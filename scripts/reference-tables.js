// The reference tables of the docs, made from the code.

const begin = '<!-- table: made by scripts/reference-docs.js -->'
const end = '<!-- end of table -->'

/** @param {Record<string, { description: string, schema: { safeParse(value: unknown): { data?: string | number | boolean | object | undefined } } }>} settings */
export function configTable(settings) {
  const rows = Object.entries(settings).map(([name, { description, schema }]) => {
    const value = schema.safeParse(undefined).data
    const shown = value === undefined ? '(none)' : typeof value === 'object' ? '(empty)' : `\`${value}\``
    return `| \`${name}\` | ${shown} | ${description.replaceAll('|', '\\|')} |`
  })
  return ['| Variable | Default | What it does |', '|---|---|---|', ...rows].join('\n')
}

/** @typedef {{ status: number, title: string, fix: string, details?: Readonly<Record<string, string>>, headers?: object }} ErrorRow */

/** @param {Readonly<Record<string, ErrorRow>>} errors */
export function errorsTable(errors) {
  const rows = Object.entries(errors).map(([code, { status, title, fix, details = {}, headers = {} }]) => {
    const fields = Object.entries(details).map(([name, type]) => `\`${name}: ${type}\``)
    const sent = Object.entries(headers).map(([name, value]) => `\`${headerName(name)}${shownValue(value)}\``)
    return `| \`${code}\` | ${status} | ${title} | ${sent.join('<br>')} | ${fields.join('<br>')} | ${fix} |`
  })
  return ['| Code | Status | Title | Headers | Details | What to do |', '|---|---|---|---|---|---|', ...rows].join('\n')
}

/** @param {string} name in lower case */
function headerName(name) {
  return name === 'www-authenticate'
    ? 'WWW-Authenticate'
    : name.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase())
}

/** A value that each error has for itself is not shown. @param {string | number} value */
function shownValue(value) {
  return value === 'given' ? '' : `: ${value}`
}

/** Replaces the text between the markers. @param {string} page @param {string} table */
export function replaceTable(page, table) {
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from) throw new Error(`the page lacks its markers ${begin} … ${end}`)
  return `${page.slice(0, from + begin.length)}\n${table}\n${page.slice(to)}`
}
