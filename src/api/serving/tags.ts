import { TenancyError } from '../../core/errors/errors.js'

/** The tag of a document, by one of its fields: a version, or the moment of the last change. */
export function tagOf(document: unknown, field: 'updatedAt' | 'version'): string {
  const value = (document as Readonly<Record<string, unknown>>)[field]
  return field === 'version' ? String(value) : Date.parse(String(value)).toString(36)
}

/**
 * Reads a tag of {@link tagOf} that was made of a moment; undefined stays so.
 * @throws {@link TenancyError} TENANCY_CHANGE_OUTDATED: it is none
 */
export function momentOfTag(tag: string | undefined): Date | undefined {
  if (tag === undefined) return undefined
  const moment = new Date(Number.parseInt(tag, 36))
  if (Number.isNaN(moment.getTime()) || moment.getTime().toString(36) !== tag) {
    throw new TenancyError('TENANCY_CHANGE_OUTDATED')
  }
  return moment
}
