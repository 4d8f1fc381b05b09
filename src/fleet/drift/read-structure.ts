import type { InspectedDatabase } from '../../core/fleet/fleet-check.js'
import { fingerprintQuery, structureQuery } from './structure-sql.js'

/** One fact of a database's structure. */
export interface StructureFact {
  readonly object: string
  readonly kind: string
  readonly name: string
  readonly definition: string
}

/** A fingerprint, and the identity rows that the database has. */
export interface StructureFingerprint {
  readonly fingerprint: string
  readonly identity: readonly (readonly [databaseId: string, epoch: number])[]
}

const parametersOf = ({ name, roles, ignoredRoles, ignoredSettings }: InspectedDatabase, isTemplate: boolean) => [
  name,
  Object.keys(roles),
  Object.values(roles),
  isTemplate,
  ignoredSettings,
  ignoredRoles,
]

/** Reads a database's fingerprint, which is computed in the server. `isTemplate`: what a build will grant counts as there. */
export async function readFingerprint(inspected: InspectedDatabase, isTemplate = false): Promise<StructureFingerprint> {
  const { rows } = await inspected.client.query<{
    fingerprint: string
    identity: StructureFingerprint['identity'] | null
  }>(fingerprintQuery, parametersOf(inspected, isTemplate))
  return { fingerprint: rows[0]?.fingerprint ?? '', identity: rows[0]?.identity ?? [] }
}

/** Reads the description of a database's structure, in no particular order. */
export async function readStructure(inspected: InspectedDatabase, isTemplate = false): Promise<StructureFact[]> {
  const { rows } = await inspected.client.query<StructureFact>(structureQuery, parametersOf(inspected, isTemplate))
  return rows
}
