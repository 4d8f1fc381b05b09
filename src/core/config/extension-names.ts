import { z } from 'zod'
import { TenancyError } from '../errors/errors.js'
import { problemsOf } from './setting-problems.js'

/** Names of extensions: letters, digits, `_` and `-`; a name that is repeated counts once. */
export const extensionNames = z
  .array(
    z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'must be names of 1 to 63 letters, digits, _ and -, such as citext'),
  )
  .max(100, 'must be at most 100 names')
  .transform((names): readonly string[] => names.filter((name, index) => names.indexOf(name) === index))

/**
 * Checks names of extensions that an application passes.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID
 */
export function checkedExtensions(names: readonly string[]): readonly string[] {
  const result = extensionNames.safeParse(names)
  if (result.success) return result.data
  throw new TenancyError('TENANCY_CONFIG_INVALID', `The option extensions ${problemsOf(result).join('; ')}`)
}
