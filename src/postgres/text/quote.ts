/**
 * Quotes one SQL identifier (PostgreSQL manual, 4.1.1). Names enter DDL only through this function; they are ours (prefix
 * and id), never text of a user.
 *
 * @throws RangeError when the name is empty, longer than PostgreSQL's 63 bytes, or holds a NUL
 */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > 63) {
    throw new RangeError('An SQL identifier has 1 to 63 bytes and no NUL')
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** Quotes a string literal for statements that take no parameters (DDL). Assumes standard_conforming_strings. */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new RangeError('An SQL literal holds no NUL')
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}
