/**
 * Makes text safe to show: names and error messages come from users and their databases, and control characters would move
 * the cursor, change colours or hide what was written before. Line breaks stay if they are asked for.
 */
export function cleanText(text: string, { keepLines = false } = {}): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => (keepLines && character === '\n' ? '\n' : ' '))
}
