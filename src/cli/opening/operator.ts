import { hostname, userInfo } from 'node:os'
import { cleanText } from '../output/clean-text.js'

/** Who runs the command: `user@host`, as the operating system names them. For the audit log. At most 200 characters. */
export function operatorName(): string {
  return cleanText(`${userName()}@${hostname()}`).slice(0, 200)
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run as a number that no user has.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
