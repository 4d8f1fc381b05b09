// Names are shown to others than those who wrote them. What cannot be seen, or turns the text around it, makes two names look
// like one, and a line look like another (UTS #39, UTS #55, "Trojan Source").

// Controls, formats, surrogates, private use and unassigned; line ends; what is ignored when shown (fillers of Hangul, too);
// the blank of Braille.
const hidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/u
const everyHidden = new RegExp(hidden, 'gu')

// The places where a hidden character changes what is shown. Joiners: after the sign that joins consonants of Indic scripts (RFC
// 5892, appendix A), and the non-joiner between letters of scripts that join. Emoji: between pictures, and after one.
const meantJoiners = new RegExp(
  [
    String.raw`(?<=[\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D4D\u0DCA\u1039\u17D2\u1B44\uA9C0])[\u200C\u200D]`,
    String.raw`(?<=[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Nko}\p{Script=Mongolian}]\p{Mn}*)\u200C(?=[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Nko}\p{Script=Mongolian}])`,
    String.raw`(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}]\uFE0F?)\u200D(?=\p{Extended_Pictographic})`,
    String.raw`(?<=\p{Extended_Pictographic})\uFE0F|(?<=[0-9#*])\uFE0F(?=\u20E3)`,
  ].join('|'),
  'gu',
)

// A mark sits on the letter before it. No script stacks more than four (UTS #39, 5.4).
const strayMarks = /^\p{M}|\p{Mn}{5}/u

/** Writes a line in its one spelling: composed (NFC), without spaces around it. */
export function cleanLine(text: string): string {
  return text.normalize('NFC').trim()
}

/**
 * Tells whether a line that others are shown holds only what can be seen: no controls, no characters that turn the direction of
 * the text, none that are invisible, private or unassigned. Joiners and variation selectors count where they are needed.
 */
export function isShownLine(text: string): boolean {
  return !hidden.test(text.replaceAll(meantJoiners, '')) && !strayMarks.test(text)
}

/** Makes a line that can be shown of one that nobody can be asked to write again: a name in a token of another issuer. */
export function shownPartOf(text: string): string {
  const line = cleanLine(text)
  if (isShownLine(line)) return line
  const seen = cleanLine(line.replaceAll(everyHidden, '')).replaceAll(/\p{Mn}{5,}/gu, '')
  return cleanLine(seen.replace(/^[\p{M}\s]+/u, ''))
}

/** What a line that is not shown has too much. */
export const shownLineProblem = 'must not hold control, invisible or unassigned characters'
