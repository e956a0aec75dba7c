/** Invisible marks that reorder the text around them. */
const reordering = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
const control = /[\u0000-\u001f\u007f-\u009f]/g

const hex = (character: string) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`

const picture = (character: string): string => {
  const code = character.charCodeAt(0)
  if (code < 0x20) return String.fromCharCode(0x2400 + code)
  return code === 0x7f ? '\u2421' : hex(character)
}

/** Names, messages and log text come from others: whatever could steer a terminal is shown as a visible sign. */
export const escapeText = (text: string): string => text.replace(control, picture).replace(reordering, hex)

const colourOrControl = /\u001b\[[\d;]*m|[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g

/** The same for a server's own log lines, which keep their tabs and colours. */
export const escapeLog = (text: string): string =>
  text.replace(colourOrControl, (found) => (found.length > 1 ? found : picture(found))).replace(reordering, hex)
