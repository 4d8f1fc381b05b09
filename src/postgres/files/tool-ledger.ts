import type { Migration } from '../../core/tenants/migration.js'
import type { SqlClient } from '../../core/sql-client.js'

/** A migration in the list of another tool. */
export interface ToolEntry {
  readonly name: string
  /** Why it is not simply applied: the tool began it and did not finish. */
  readonly problem?: string
  /** Its place among the migrations of the folder; undefined: it is none of them, or another text of the same name. */
  readonly index: number | undefined
}

/** The list of applied migrations that another tool (drizzle-kit, Prisma, Kysely) keeps in the same database. */
export interface ToolLedger {
  /** Name of the table, for messages. */
  readonly table: string
  /**
   * Reads what the tool has applied, in its order; undefined: the table does not exist.
   * @throws Error when the table is not the tool's: nothing of it may be run
   */
  read(client: SqlClient): Promise<readonly ToolEntry[] | undefined>
  /** SQL that makes the table where it is missing and adds migrations to it. `members`: a role that must not get at it. */
  add(migrations: readonly Migration[], members: string | undefined): string
  /** SQL that takes every privilege on it from a role, if it exists. */
  keepFrom(members: string): string
  /** SQL that gives a migration the hash that its text has now, if the table exists; undefined: the tool keeps names only. */
  accept?(migration: Migration): string
  /** SQL that removes migrations from it, if it exists. */
  remove(migrations: readonly Migration[]): string
}

/** How many migrations the tool has, and ours has; or why they do not agree. */
export type ToolComparison = { readonly known: number | undefined } | { readonly disagreement: string }

/**
 * Compares the list of a tool with the folder.
 *
 * @param files all migrations of the folder
 * @param ours how many of them our own ledger has
 * @returns `known`: how many the tool has; undefined: it has no table
 */
export function compareWithTool(
  table: string,
  entries: readonly ToolEntry[] | undefined,
  files: readonly Migration[],
  ours: number,
): ToolComparison {
  if (entries === undefined) return { known: undefined }
  const broken = entries.find(({ problem }) => problem !== undefined)
  const isPrefix = entries.every(({ index }, place) => index === place)
  const reason =
    broken?.problem ??
    whyNoPrefix(entries, files) ??
    (entries.length < ours ? `${table} lacks ${files[entries.length]?.name}, which was applied` : undefined)
  if (reason === undefined && isPrefix) return { known: entries.length }
  const theirs = entries.map(({ name }) => name)
  return {
    disagreement:
      `${table} and the folder do not agree: ${reason ?? 'they have another order'}; ` +
      `${table} has ${listed(theirs)}; the folder has ${listed(files.map(({ name }) => name))}`,
  }
}

function whyNoPrefix(entries: readonly ToolEntry[], files: readonly Migration[]): string | undefined {
  const place = entries.findIndex(({ index }, expected) => index !== expected)
  const entry = entries[place]
  if (entry === undefined) return undefined
  if (entry.index !== undefined) return `${files[place]?.name} comes before ${entry.name}, and was not applied`
  return `${entry.name} is not in the folder, or has another text there`
}

const maxListed = 20

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'nothing'
  // From the end: lists differ there.
  const left = names.length - maxListed
  const shown = names.slice(-maxListed).map((name) => JSON.stringify(name.slice(0, 100)).slice(1, -1))
  return `${left > 0 ? `${left} more, then ` : ''}${shown.join(', ')}`
}
