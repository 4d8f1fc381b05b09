import { type Check, ok, problem, warning } from '../../check.js'

const tested = [20, 22, 24, 26]

/** Node is one of the versions that this package is tested on. */
export const node: Check = {
  name: 'node',
  run: () => judgeNode(process.versions.node),
}

/** @param version such as `20.19.1` */
export function judgeNode(version: string) {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    return problem(`Node ${version} is too old`, 'Install Node 24, or 20.19 at least')
  }
  if (!tested.includes(major)) {
    return warning(`Node ${version} is not tested with tenants2fast`, `Use one of ${tested.join(', ')}`)
  }
  return ok(`Node ${version}`)
}
