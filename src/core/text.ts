/** Tells whether a text has no lone surrogate: UTF-8 cannot write one, so two different texts would be stored as one. */
export function isWellFormed(text: string): boolean {
  return !/\p{Cs}/u.test(text)
}

/** Tells whether PostgreSQL can store the text as it is: well-formed, without NUL. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && isWellFormed(text)
}

/** Tells whether a text is one line that can be shown: well-formed, without control characters. */
export function isPlainLine(text: string): boolean {
  return !/[\p{Cc}\p{Cs}]/u.test(text)
}

/** Writes a number with its noun: `1 tenant`, `2 tenants`. @param nouns Default: the noun with an s */
export function countText(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`
}
