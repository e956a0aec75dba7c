import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { parse } from 'yaml'

const root = resolve(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

describe('the examples', () => {
  // `example` is OpenAPI's word; JSON Schema does not know it.
  const validate = new Ajv2020({ allErrors: true, strict: true, keywords: ['example'] }).compile(
    JSON.parse(read('docs/reference/manifest.schema.json')) as object,
  )

  it.each(readdirSync(join(root, 'examples')))('%s is what the manifest schema asks for', (file) => {
    validate(parse(read(`examples/${file}`)))
    expect(validate.errors ?? []).toEqual([])
  })

  it('would not pass with a field that does not exist', () => {
    expect(validate({ servers: [{ name: 'a', replica: 2 }] })).toBe(false)
  })
})
