import type { Comment } from './parse.js'
import { type RuleName, rules } from './rules.js'

/** A comment that allows a rule's findings in one statement. */
export interface Ignore {
  readonly rule: RuleName
  readonly reason: string
  readonly line: number
  readonly statement: number
}

/** A comment that means to be one and is not. */
export interface BrokenIgnore {
  readonly message: string
  readonly line: number
}

const pattern = /^--\s*lint-ignore\b\s*([^\s:]*)\s*(?::\s*(.*))?$/

/** Reads the comments `-- lint-ignore rule: reason`. */
export function readIgnores(comments: readonly Comment[]): {
  readonly ignores: readonly Ignore[]
  readonly broken: readonly BrokenIgnore[]
} {
  const ignores: Ignore[] = []
  const broken: BrokenIgnore[] = []
  for (const { text, line, statement } of comments) {
    if (!/lint-ignore/.test(text)) continue
    const [, rule = '', reason = ''] = pattern.exec(text.trim()) ?? []
    if (!isRule(rule)) broken.push({ message: `There is no rule "${rule}" to ignore`, line })
    else if (reason.trim() === '') broken.push({ message: `Ignoring ${rule} needs a reason`, line })
    else ignores.push({ rule, reason: reason.trim(), line, statement })
  }
  return { ignores, broken }
}

const isRule = (name: string): name is RuleName =>
  Object.hasOwn(rules, name) && name !== 'ignore-comment' && name !== 'syntax-error'
