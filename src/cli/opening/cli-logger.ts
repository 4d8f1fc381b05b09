import type { Logger } from '../../core/logger.js'
import { cleanText } from '../output/clean-text.js'

/** A logger for people: errors, and with `--verbose` warnings and what is done. Fields are for machines and left out. */
export function createCliLogger(isVerbose: boolean, say: (text: string) => void): Logger {
  const log = (level: string, isShown: boolean) => (_fields: object, message: string) => {
    if (isShown) say(`${level}: ${cleanText(message)}`)
  }
  return {
    debug: log('debug', false),
    info: log('info', isVerbose),
    warn: log('warning', isVerbose),
    error: log('error', true),
  }
}
