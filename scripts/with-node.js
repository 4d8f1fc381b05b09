// Runs a command with another major version of Node first in its PATH: `node scripts/with-node.js 26 npm test -- test/http`.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { delimiter, join } from 'node:path'
import { nodes, unpack } from './pinned-packages.js'

const [major = '', command = '', ...args] = process.argv.slice(2)
const pinned = nodes[major]
if (pinned === undefined || command === '') {
  console.error(`usage: node scripts/with-node.js <${Object.keys(nodes).join('|')}> <command> [arguments]`)
  process.exit(2)
}
const bin = join(unpack(pinned), 'bin')
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env['PATH']}` }
const child = spawn(command, args, { stdio: 'inherit', env })
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal))
child.once('error', (error) => {
  console.error(error.message)
  process.exit(127)
})
child.once('exit', (code, signal) => process.exit(code ?? 128 + (signal ? constants.signals[signal] : 0)))
