import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Requirement } from './requirements.js'

/** A program in the PATH. */
export function installed(program: string): Requirement {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return { isMet: folders.some((folder) => existsSync(join(folder, program))), need: `${program} in the path` }
}
