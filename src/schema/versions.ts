import { numberOf } from '../postgres/files/sql-folder.js'

/**
 * The keys of migrations in the ledger: the numbers that their names begin with, where all have one and they ascend, and their
 * positions otherwise.
 *
 * @param bases names without endings, in the order in which they run
 */
export function versionsOf(bases: readonly string[]): number[] {
  const numbers = bases.map(numberOf)
  const ascends = numbers.every((number, index) => number !== undefined && number > (numbers[index - 1] ?? -1))
  return ascends ? numbers.map((number) => number ?? 0) : bases.map((_, index) => index)
}
