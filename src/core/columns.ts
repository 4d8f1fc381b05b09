/** What a column holds, as `pg` reads it; a list names the only texts it may hold. */
export type ColumnKind = 'text' | 'texts' | 'integer' | 'boolean' | 'time' | readonly string[]

/** A column of the catalog. What no flag allows is read by the catalog's own code and goes nowhere else. */
export interface Column {
  /** Its name in the catalog, in snake_case. */
  readonly name: string
  readonly kind: ColumnKind
  /** Default: false. */
  readonly nullable?: boolean
  /** How the catalog reads it, with `$` for the column. Default: as it is. */
  readonly read?: string
  /** Redis may keep it. Default: false. */
  readonly cached?: boolean
  /** Applications see it, and HTTP answers show it. Default: false. */
  readonly public?: boolean
  /** An input from outside may set it. Default: false. */
  readonly writable?: boolean
}

/** The columns of a table by the names that TypeScript has for them. */
export type Columns = Readonly<Record<string, Column>>

/** What a column may be used for. */
export type ColumnUse = 'cached' | 'public' | 'writable'

interface Kinds {
  readonly text: string
  readonly texts: readonly string[]
  readonly integer: number
  readonly boolean: boolean
  readonly time: Date
}

type Content<Kind extends ColumnKind> = Kind extends keyof Kinds
  ? Kinds[Kind]
  : Kind extends readonly string[]
    ? Kind[number]
    : never

type ValueOf<Of extends Column> = Content<Of['kind']> | (Of extends { readonly nullable: true } ? null : never)

/** The names of the columns that may be used in this way. */
export type NamesOf<Of extends Columns, Use extends ColumnUse> = {
  [Name in keyof Of & string]: Of[Name] extends Readonly<Record<Use, true>> ? Name : never
}[keyof Of & string]

/** A row of all columns. */
export type RowOf<Of extends Columns> = { readonly [Name in keyof Of & string]: ValueOf<Of[Name]> }

/** The part of a row that may be used in this way. */
export type PartOf<Of extends Columns, Use extends ColumnUse> = {
  readonly [Name in NamesOf<Of, Use>]: ValueOf<Of[Name]>
}

/** The names of the columns that may be used in this way. */
export function namesOf<Of extends Columns, Use extends ColumnUse>(columns: Of, use: Use): NamesOf<Of, Use>[] {
  return Object.keys(columns).filter((name) => columns[name]?.[use] === true) as NamesOf<Of, Use>[]
}

/** Copies the columns that may be used in this way, and nothing else that the object has. */
export function partOf<Of extends Columns, Use extends ColumnUse>(
  columns: Of,
  use: Use,
  row: PartOf<Of, Use>,
): PartOf<Of, Use> {
  return Object.fromEntries(namesOf(columns, use).map((name) => [name, row[name]])) as PartOf<Of, Use>
}

/**
 * The list of a SELECT or RETURNING that reads columns under their TypeScript names.
 *
 * @param table name or alias that qualifies the columns. Default: unqualified
 * @param prefix comes before each name, for rows of several tables (see {@link unprefixed}). Default: none
 */
export function selectList(
  columns: Columns,
  { table, prefix = '' }: { readonly table?: string; readonly prefix?: string } = {},
): string {
  return Object.entries(columns)
    .map(([as, { name, read = '$' }]) => {
      const column = table === undefined ? name : `${table}.${name}`
      return `${read.replace('$', column)} as "${prefix}${as}"`
    })
    .join(', ')
}

/** The part of a row that {@link selectList} read with this prefix. */
export function unprefixed<Of extends Columns>(columns: Of, row: object, prefix: string): RowOf<Of> {
  return Object.fromEntries(
    Object.keys(columns).map((name) => [name, Reflect.get(row, `${prefix}${name}`)]),
  ) as RowOf<Of>
}
