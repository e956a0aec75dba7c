import { Document, isScalar, Scalar, visit } from 'yaml'

// Words and numbers that some YAML reader, of version 1.1 or 1.2, takes for something else than text.
const ambiguous = [
  /^(y|n|yes|no|on|off|true|false|null|~|=|<<)?$/i,
  /^[-+]?(0b[01_]+|0o?[0-7_]+|0x[\da-f_]+)$/i,
  /^[-+]?(\d[\d_,]*(\.[\d_]*)?|\.[\d_]+)(e[-+]?\d+)?$/i,
  /^[-+]?(\.inf|\.nan|inf|nan)$/i,
  /^[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?$/,
  /^\d{4}-\d{1,2}-\d{1,2}([Tt\s].*)?$/,
]

const isAmbiguous = (text: string) => ambiguous.some((pattern) => pattern.test(text))

/** YAML in which every text that could be read as something else is quoted. */
export const toYaml = (value: unknown): string => {
  const document = new Document(value, { aliasDuplicateObjects: false })
  visit(document, {
    Scalar: (_, node) => {
      if (isScalar(node) && typeof node.value === 'string' && isAmbiguous(node.value)) node.type = Scalar.QUOTE_DOUBLE
    },
  })
  return document.toString({ lineWidth: 0 })
}
