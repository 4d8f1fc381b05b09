import { promises } from 'node:dns'

/** Reads the TXT records of a name, each as one text. Rejects as `node:dns` does: with `code` `ENOTFOUND`, `ESERVFAIL` … */
export type ResolveTxt = (name: string) => Promise<readonly string[]>

/**
 * Creates a resolver of TXT records.
 *
 * @param servers addresses of name servers, such as `9.9.9.9`; default: those of the system
 */
export function createTxtResolver(servers?: readonly string[]): ResolveTxt {
  const resolver = new promises.Resolver({ timeout: 2000, tries: 2 })
  if (servers !== undefined) resolver.setServers(servers)
  return async (name) => (await resolver.resolveTxt(name)).map((chunks) => chunks.join(''))
}

/** The name of the record that proves a domain. One purpose proves nothing for the other. */
export function recordNameOf(purpose: 'web' | 'email', name: string): string {
  return `${purpose === 'web' ? '_tenants2fast-challenge' : '_tenants2fast-email'}.${name}`
}

/** What a look at the DNS found: the record, no such record, or no answer. */
export type Found = 'published' | 'missing' | 'unanswered'

/** Longest time that a resolver of the application may take. */
const longestWaitMs = 10_000

/**
 * Looks for a record. An answer that does not come in time, or is an error of the name servers, is `unanswered`.
 *
 * @param waitMs default: 10 s
 */
export async function lookUp(
  resolveTxt: ResolveTxt,
  {
    purpose,
    name,
    challenge,
  }: { readonly purpose: 'web' | 'email'; readonly name: string; readonly challenge: string },
  waitMs = longestWaitMs,
): Promise<Found> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), waitMs)
  })
  try {
    const records = await Promise.race([resolveTxt(recordNameOf(purpose, name)), late])
    if (records === undefined) return 'unanswered'
    return records.includes(challenge) ? 'published' : 'missing'
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    return code === 'ENOTFOUND' || code === 'ENODATA' ? 'missing' : 'unanswered'
  } finally {
    clearTimeout(timer)
  }
}
