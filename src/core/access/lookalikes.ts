// Letters of other scripts that look like a Latin one, small or capital, after lower case (UTS #39, the part that names of roles
// are at risk of). A capital that looks alike counts as its small letter.
const alike: Readonly<Record<string, string>> = {
  a: 'аαɑ',
  b: 'вβ',
  c: 'сϲ',
  d: 'ԁđð',
  e: 'еε',
  g: 'ɡց',
  h: 'нһհ',
  i: 'іιıӏℓlł1',
  j: 'ј',
  k: 'кκ',
  m: 'мμ',
  n: 'νηոп',
  o: 'оοօø0',
  p: 'рρ',
  q: 'ԛ',
  r: 'гʀ',
  s: 'ѕꜱ',
  t: 'тτ',
  u: 'υս',
  w: 'ԝωѡ',
  x: 'хχ',
  y: 'уγү',
  z: 'ζ',
}
const latin = new Map(
  Object.entries(alike).flatMap(([letter, others]) => Array.from(others, (other) => [other, letter] as const)),
)

/**
 * Makes a text that is the same for names which readers may take for each other: compatibility forms, case, accents, spaces and
 * punctuation do not count, nor do letters that look like a Latin one. It is for comparing, and never shown.
 */
export function skeletonOf(name: string): string {
  // Upper case first: it writes out what is one letter in lower case only, as a case fold does.
  const letters = name
    .normalize('NFKD')
    .toUpperCase()
    .toLowerCase()
    .normalize('NFKD')
    .replaceAll(/[^\p{L}\p{N}]/gu, '')
  return Array.from(letters, (letter) => latin.get(letter) ?? letter)
    .join('')
    .replaceAll('rn', 'm')
    .replaceAll('vv', 'w')
    .replaceAll('ci', 'd')
}
