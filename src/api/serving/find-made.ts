import { TenancyError } from '../../core/errors/errors.js'
import type { LostRequest } from '../operation.js'

/**
 * Reads what a lost request has made, by a function that lists such things by id: as the first one after its neighbour.
 *
 * @param order which ids are listed first. Default: the lowest
 * @throws {@link TenancyError} TENANCY_REQUEST_IN_PROGRESS: it is gone
 */
export async function findMade<Item extends { readonly id: string }>(
  { made = '' }: LostRequest,
  list: (page: { readonly after: string; readonly limit: number }) => Promise<readonly Item[]>,
  order: 'lowest' | 'highest' = 'lowest',
): Promise<Item> {
  const [found] = await list({ after: neighbourOf(made, order === 'lowest' ? -1n : 1n), limit: 1 })
  if (found?.id === made) return found
  throw new TenancyError('TENANCY_REQUEST_IN_PROGRESS', 'What the request made is gone: send it with another key')
}

function neighbourOf(id: string, distance: bigint): string {
  const hex = (BigInt(`0x${id.replaceAll('-', '')}`) + distance).toString(16).padStart(32, '0')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
