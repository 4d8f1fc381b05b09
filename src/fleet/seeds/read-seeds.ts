import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TenancyError } from '../../core/errors/errors.js'
import type { Seed, SeedProfile } from '../../core/fleet/fleet-seed.js'

/** Where seeds come from. */
export interface SeedSources {
  /** A folder with `*.sql` for every profile, `dev/*.sql` and `prod/*.sql`. */
  readonly folder: string | undefined
  readonly functions: readonly Seed[]
}

/** A seed that is to run. */
export interface ReadSeed {
  readonly name: string
  readonly work: string | Seed['run']
}

const fileName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.sql$/

/**
 * Reads the seeds of a profile: the folder's files by name, then those of the profile, then the functions in their order.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: the folder cannot be read, or there is no seed
 */
export async function readSeeds({ folder, functions }: SeedSources, profile: SeedProfile): Promise<ReadSeed[]> {
  const files =
    folder === undefined ? [] : [...(await readFolder(folder, '', true)), ...(await readFolder(folder, profile, false))]
  const chosen = functions.filter((seed) => seed.profile === undefined || seed.profile === profile)
  const seeds = [...files, ...chosen.map(({ name, run }) => ({ name, work: run }))]
  if (seeds.length > 0) return seeds
  throw new TenancyError(
    'TENANCY_CONFIG_INVALID',
    `There is no seed for the profile ${profile}: name a folder in TENANT_SEED_DIR, or pass seeds to createTenancy()`,
  )
}

async function readFolder(folder: string, part: string, isNeeded: boolean): Promise<ReadSeed[]> {
  const path = join(folder, part)
  const entries = await readdir(path, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    if (!isNeeded && cause.code === 'ENOENT') return []
    throw new TenancyError('TENANCY_CONFIG_INVALID', `The folder of seeds ${path} cannot be read: ${cause.message}`, {
      cause,
    })
  })
  const names = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.sql')).map(({ name }) => name)
  for (const name of names) {
    if (fileName.test(name)) continue
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      `The name of the seed ${JSON.stringify(name.slice(0, 120))} in ${path} must be of letters, digits, ".", "_" and "-"`,
    )
  }
  names.sort()
  return Promise.all(
    names.map(async (name) => ({
      name: part === '' ? name : `${part}/${name}`,
      work: (await readFile(join(path, name), 'utf8')).replace(/^\uFEFF/, ''),
    })),
  )
}
