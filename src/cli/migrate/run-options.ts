import type { OptionDefinition } from '../command.js'
import type { FleetShare } from '../../index.js'
import { share, wholeNumber } from '../values.js'

/** Input of every command that works on tenants' databases. */
export interface RunInput {
  readonly parallelism?: number
  readonly stopAfter?: FleetShare
  readonly tenant?: readonly string[]
  readonly label?: string
}

/** Input of those that begin with a few tenants. */
export interface WaveInput extends RunInput {
  readonly canary?: FleetShare
}

/** Input of those that run migrations, in milliseconds. */
export interface MigrationInput extends WaveInput {
  readonly lockTimeout?: number
  readonly statementTimeout?: number
}

/** Options of commands that work on tenants' databases. */
export const runOptions = {
  canary: {
    flags: '--canary N|N%',
    description: 'so many tenants first, and the others only if none of them failed',
    parse: share,
  },
  parallelism: {
    flags: '--parallelism N',
    description: 'tenants at a time, 1 to 64 (default: 2)',
    parse: wholeNumber(1, 64),
  },
  stopAfter: {
    flags: '--stop-after N|N%',
    description: 'begin no further tenant after so many failures',
    parse: share,
  },
  tenant: { flags: '--tenant TENANT', description: 'only this one, again for more', isRepeatable: true },
  label: { flags: '--label LABEL', description: 'only tenants with this label' },
  lockTimeout: {
    flags: '--lock-timeout MS',
    description: 'longest wait of a statement for a lock (default: TENANT_SCHEMA_LOCK_TIMEOUT_MS)',
    parse: wholeNumber(1, 600_000),
  },
  statementTimeout: {
    flags: '--statement-timeout MS',
    description: 'longest time of a statement (default: no limit)',
    parse: wholeNumber(1, 86_400_000),
  },
} as const satisfies Readonly<Record<string, OptionDefinition>>

/** Which tenants, and how many at a time. */
export const waveOptions: readonly OptionDefinition[] = [
  runOptions.canary,
  runOptions.parallelism,
  runOptions.stopAfter,
  runOptions.tenant,
  runOptions.label,
]

/** What functions of the fleet call the input of a command. */
export function fleetOptionsOf<Input extends RunInput>({ tenant, ...same }: Input) {
  return { ...same, tenants: tenant }
}

/** As {@link fleetOptionsOf}, of a command that runs migrations. */
export function migrationOptionsOf({ lockTimeout, statementTimeout, ...how }: MigrationInput) {
  return { ...fleetOptionsOf(how), lockTimeoutMs: lockTimeout, statementTimeoutMs: statementTimeout }
}
