import { applyStatement } from './apply-statement.js'
import { checkStatement } from './checks/check-statement.js'
import type { FileState, Found } from './file-state.js'
import type { IgnoredFinding, LintFinding, LintNote } from './findings.js'
import { readIgnores } from './ignore-comments.js'
import { isAtLeast, strongest } from '../../core/fleet/lock-modes.js'
import { locksOf } from './locks.js'
import { typeOf } from './nodes.js'
import { type loadParser, parseSql, type ParsedFile, type Statement, SyntaxProblem } from './parse.js'
import { isBlock, readBlock } from './plpgsql.js'
import { rules } from './rules.js'
import { statementKind } from './statement-kind.js'

/** A file of SQL to lint. */
export interface SqlMigration {
  readonly name: string
  readonly sql: string
  readonly inTransaction: boolean
}

/** What a run collects. */
export interface Collected {
  readonly findings: LintFinding[]
  readonly ignored: IgnoredFinding[]
  readonly notes: LintNote[]
}

/** Lints one file, and adds what it makes to the model. */
export function lintFile(
  parser: Awaited<ReturnType<typeof loadParser>>,
  { name, sql, inTransaction }: SqlMigration,
  { model, extensions }: Pick<FileState, 'model' | 'extensions'>,
  { findings, ignored, notes }: Collected,
): void {
  const about = (found: Found, line: number, statement: string, lock: LintFinding['lock']): LintFinding => ({
    ...{ file: name, line, rule: found.rule, ...rules[found.rule], message: found.message, statement },
    rewrites: found.rewrites ?? false,
    lock: found.lock ?? lock,
  })
  let parsed: ParsedFile
  try {
    parsed = parseSql(parser, sql)
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error
    findings.push(about({ rule: 'syntax-error', message: error.message }, error.line, '', undefined))
    return
  }
  const { statements, comments } = parsed
  if (statements.length === 0)
    findings.push(about({ rule: 'empty-file', message: 'There is no statement in it' }, 1, '', undefined))
  const { ignores, broken } = readIgnores(comments)
  for (const { message, line } of broken) findings.push(about({ rule: 'ignore-comment', message }, line, '', undefined))
  const used = new Set<(typeof ignores)[number]>()
  const file: FileState = {
    ...{ model, inTransaction, extensions, statements },
    ...{ held: new Map(), notValid: new Set(), enumValues: new Set(), ownTypes: new Set(), policies: new Set() },
  }

  const lintStatement = ({ node, line }: Statement, index: number) => {
    const locks = locksOf(node, model)
    const found = [...checkStatement(node, file), ...checkSeveralTables(locks, file)]
    const allowing = ignores.filter(({ statement }) => statement === index)
    for (const each of found) {
      const finding = about(each, line, statementKind(typeOf(node)), strongest(locks.values()))
      const ignore = allowing.find(({ rule }) => rule === each.rule)
      if (ignore === undefined) {
        findings.push(finding)
      } else {
        used.add(ignore)
        ignored.push({ ...finding, reason: ignore.reason })
      }
    }
    applyStatement(node, file)
  }

  for (const [index, statement] of statements.entries()) {
    lintStatement(statement, index)
    if (!isBlock(statement.node)) continue
    const content = readBlock(parser, statement.text, statement.line)
    for (const nested of content?.statements ?? []) lintStatement(nested, index)
    const lines = content === undefined ? [statement.line] : content.unreadable
    for (const line of lines) {
      notes.push({ file: name, line, message: 'What this runs is made at run time, and was not checked: rehearse it' })
    }
  }
  for (const ignore of ignores) {
    if (used.has(ignore)) continue
    const message = `Nothing breaks the rule ${ignore.rule} here: remove the comment`
    findings.push({ ...about({ rule: 'ignore-comment', message }, ignore.line, '', undefined), severity: 'warning' })
  }
}

function checkSeveralTables(
  locks: ReadonlyMap<string, LintFinding['lock']>,
  { held, inTransaction }: FileState,
): Found[] {
  if (!inTransaction || held.size === 0) return []
  const other = [...locks].find(([key, lock]) => lock !== undefined && isAtLeast(lock, 'SHARE') && !held.has(key))
  // One statement that locks two tables is told apart by the tables of those before it.
  if (other === undefined || [...locks.keys()].some((key) => held.has(key))) return []
  return [
    {
      rule: 'several-tables-locked',
      message: `${bare(other[0])} is locked while this transaction holds a lock on ${[...held.keys()].map(bare).join(', ')}`,
    },
  ]
}

const bare = (key: string) => key.replace(/^public\./, '')
