import type { Config } from './config.js'
import { TenancyError } from '../errors/errors.js'

const inspectCustom = Symbol.for('nodejs.util.inspect.custom')
const vaultKey = Symbol.for('tenants2fast.config')

/** Holds the master secret so that spreading the configuration copies it, and nothing shows it. */
class Vault {
  readonly #secret: Buffer | undefined

  constructor(secret: Buffer | undefined) {
    this.#secret = secret
  }

  reveal(): Buffer | undefined {
    return this.#secret
  }
}

const complete = new WeakSet<object>()

/**
 * Hides the secrets of a configuration: they can be read by name, and are in no copy, list of entries, clone, JSON or print
 * of it.
 */
export function protectConfig(config: Config): Config {
  const held = { ...config, [vaultKey]: new Vault(config.secret) }
  const safe = hide(
    {
      ...held,
      server: config.server && hide({ ...config.server, password: config.server.password }, 'password'),
      redis: config.redis && hide({ ...config.redis, url: config.redis.url }, 'url'),
      mail: config.mail && hide({ ...config.mail, password: config.mail.password }, 'password'),
      secret: config.secret,
    },
    'secret',
  )
  complete.add(safe)
  return safe
}

/**
 * Completes a copy of a configuration (`{ ...config, maxConnections: 5 }`): puts the master secret back.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID when secrets were left behind: by a deep copy, or in a part that was
 *   copied itself
 */
export function wholeConfig(config: Config): Config {
  if (complete.has(config)) return config
  const vault = (config as { readonly [vaultKey]?: Vault })[vaultKey]
  if (vault === undefined) throw lost('config')
  const { server, redis, mail } = config
  if (server !== undefined && typeof server.password !== 'string') throw lost('config.server')
  if (redis !== undefined && typeof redis.url !== 'string') throw lost('config.redis')
  if (mail?.username !== undefined && typeof mail.password !== 'string') throw lost('config.mail')
  return protectConfig({ ...config, secret: Object.hasOwn(config, 'secret') ? config.secret : vault.reveal() })
}

function lost(name: string): TenancyError {
  return new TenancyError(
    'TENANCY_CONFIG_INVALID',
    `${name} is a copy without its secrets, which copying leaves out: change a setting by ` +
      'loadConfig({ ...readEnvironment(), TENANT_…: value }), or one of the first level by { ...config, name: value }',
  )
}

/** Makes one property readable by its name only. Freezes the object. */
function hide<Value extends object>(object: Value, name: keyof Value): Value {
  const value = object[name]
  const shown = { ...object, [name]: value && '[hidden]' }
  Reflect.deleteProperty(shown, vaultKey)
  // An accessor, so that an inspection of hidden properties shows no value either.
  Object.defineProperty(object, name, { get: () => value, enumerable: false })
  Object.defineProperty(object, 'toJSON', { value: () => shown })
  Object.defineProperty(object, inspectCustom, { value: () => shown })
  return Object.freeze(object)
}
