// One variant in a process of its own, told by messages what to do: `node client.js VARIANT`.
import { serveParent } from '../serve-parent.js'
import { closedLoop, openLoop, zipf } from './load.js'
import { variants } from './variants.js'

const setup = await new Promise((resolve) => process.once('message', resolve))
const variant = await variants[process.argv[2]](setup)
const everybody = zipf(setup.tenants.length, setup.exponent ?? 1)
const draws = { zipf: everybody, one: () => 0, noisy: () => setup.tenants.length - 1 }

const commands = {
  closed: (options) => closedLoop({ ...options, draw: draws[options.draw], items: variant.items }),
  open: ({ seconds, classes }) => {
    const drawn = Object.entries(classes).map(([name, { rate, draw }]) => [name, { rate, draw: draws[draw] }])
    return openLoop({ seconds, classes: Object.fromEntries(drawn), items: variant.items })
  },
}

serveParent(variant, ({ command, ...options }) => commands[command](options))
