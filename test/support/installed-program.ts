import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Requirement } from './requirements.js'

/** A program in the PATH. */
export function installed(program: string): Requirement {
  return { isMet: findProgram(program) !== undefined, need: `${program} in the path` }
}

/** Finds a program in the PATH; undefined: there is none. */
export function findProgram(program: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file))
}
