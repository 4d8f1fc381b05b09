import { describe, test, type TestFunction, type TestOptions } from 'vitest'
import { isPlainAdmin } from './server.js'

/** Something that a test needs and that a machine or a run may lack. */
export interface Requirement {
  readonly isMet: boolean
  /** The thing and the way to get it, as it follows "needs": `Redis: set TENANT_REDIS_URL`. */
  readonly need: string
}

export const linux: Requirement = { isMet: process.platform === 'linux', need: 'Linux' }

export const root: Requirement = { isMet: process.getuid?.() === 0, need: 'root: run the tests as root' }

export const superuser: Requirement = {
  get isMet() {
    return !isPlainAdmin()
  },
  need: 'a superuser as administrator: unset T2F_PLAIN_ADMIN',
}

/**
 * `test` where the requirement is met, or where there is none; elsewhere a test that is skipped and says in its title what
 * it needs.
 */
export function testWith(
  requirement: Requirement | undefined,
  title: string,
  run: TestFunction,
  options: TestOptions = {},
): void {
  const define = isMet(requirement) ? test : test.skip
  define(titleOf(requirement, title), options, run)
}

/** `describe` by the same rule as {@link testWith}. */
export function describeWith(requirement: Requirement | undefined, title: string, define: () => void): void {
  const defineBlock = isMet(requirement) ? describe : describe.skip
  defineBlock(titleOf(requirement, title), define)
}

function isMet(requirement: Requirement | undefined): boolean {
  return requirement === undefined || requirement.isMet
}

function titleOf(requirement: Requirement | undefined, title: string): string {
  return requirement === undefined || requirement.isMet ? title : `${title} [skipped: needs ${requirement.need}]`
}
