/** Owns words for a terminal that may quote what somebody else chose: one line, no control characters, not without end. */

const CHARS_MAX = 2000

export function oneLine(text: string): string {
  const shown = text.replace(/[\p{Cc}\u2028\u2029]/gu, (char) => JSON.stringify(char).slice(1, -1))
  const plain = shown.replace(/[\u007f-\u009f\u2028\u2029]/g, escaped)
  return plain.length <= CHARS_MAX ? plain : `${plain.slice(0, CHARS_MAX)}...`
}

/** JSON leaves these as they are. */
function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}
