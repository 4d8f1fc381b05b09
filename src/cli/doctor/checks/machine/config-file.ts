import { findConfigFile } from '../../../opening/config-file.js'
import { type Check, ok, problem, skipped } from '../../check.js'
import { messageOf } from '../../run-checks.js'

/** The application's file, if there is one, can be loaded. */
export const configFile: Check = {
  name: 'config-file',
  run({ applicationError }) {
    if (applicationError !== undefined) {
      return problem(messageOf(applicationError), 'Correct the file: every other command needs it')
    }
    const path = findConfigFile(undefined)
    return path === undefined ? skipped('There is no tenants2fast.config.ts here') : ok(`${path} is loaded`)
  },
}
