import { isIP } from 'node:net'

const address = /^(?:tcp|udp|sctp):\/\/(?:\[[0-9a-fA-F:.]+\]|[^/:\s]+):\d{1,5}$/
const number = /^\d{1,5}$/

/** Names of the variables of a service (Kubernetes, "Accessing the Service"; Docker's links), and their values. */
const shapes: readonly (readonly [RegExp, (value: string) => boolean])[] = [
  [/_SERVICE_HOST$/, (value) => isIP(value) !== 0],
  [/_SERVICE_PORT(?:_[A-Z0-9_]+)?$/, (value) => number.test(value)],
  [/_PORT$/, (value) => address.test(value)],
  [/_PORT_\d+_(?:TCP|UDP|SCTP)$/, (value) => address.test(value)],
  [/_PORT_\d+_(?:TCP|UDP|SCTP)_PROTO$/, (value) => /^(?:tcp|udp|sctp)$/.test(value)],
  [/_PORT_\d+_(?:TCP|UDP|SCTP)_PORT$/, (value) => number.test(value)],
  [/_PORT_\d+_(?:TCP|UDP|SCTP)_ADDR$/, (value) => isIP(value) !== 0],
]

/**
 * Tells whether Kubernetes has set a variable for a service of the namespace: a service `tenant-api` sets
 * `TENANT_API_PORT=tcp://10.0.0.1:80` and six more in each pod. Both name and value have to fit, so that a misspelled setting
 * does not.
 */
export function isServiceLink(name: string, value: string): boolean {
  return shapes.some(([shape, fits]) => shape.test(name) && fits(value))
}
