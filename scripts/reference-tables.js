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

/** @param {Record<string, { status: number, title: string, fix: string }>} errors */
export function errorsTable(errors) {
  const rows = Object.entries(errors).map(
    ([code, { status, title, fix }]) => `| \`${code}\` | ${status} | ${title} | ${fix} |`,
  )
  return ['| Code | Status | Title | What to do |', '|---|---|---|---|', ...rows].join('\n')
}

/** Replaces what stands between the markers. @param {string} page @param {string} table */
export function replaceTable(page, table) {
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from) throw new Error(`the page lacks its markers ${begin} … ${end}`)
  return `${page.slice(0, from + begin.length)}\n${table}\n${page.slice(to)}`
}
