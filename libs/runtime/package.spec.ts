import { describe, expect, it } from '@jest/globals'
import { StartError } from './driver'
import { binsOf, chooseBin } from './package-bin'
import { parsePackage, safePackageName } from './package-name'

describe('package name', () => {
  it.each([
    ['npm:left-pad@1.3.0', { name: 'left-pad', version: '1.3.0' }],
    ['npm:@scope/x.y@1.0.0-rc.1+b2', { name: '@scope/x.y', version: '1.0.0-rc.1+b2' }],
  ])('%s is exact', (text, expected) => {
    expect(parsePackage(text)).toEqual(expected)
  })

  it.each([
    'left-pad@1.3.0',
    'npm:left-pad',
    'npm:left-pad@latest',
    'npm:left-pad@^1.0.0',
    'npm:../x@1.0.0',
    'npm:a@1.0.0 --x',
    'npm:A@1.0.0',
    'npm:a@1.0.0\n',
  ])('%j is refused', (text) => {
    expect(parsePackage(text)).toBeUndefined()
  })

  it('makes names for files that do not collide', () => {
    expect(safePackageName({ name: '@a/b', version: '1.0.0' })).toBe('@a+b')
    expect(safePackageName({ name: 'a__b', version: '1.0.0' })).toBe('a__b')
  })
})

describe('bin of a package', () => {
  const two = { first: 'a.js', second: 'b.js' }

  it('is the only one', () => {
    expect(chooseBin('@s/x', binsOf('@s/x', { other: 'a.js' }), undefined)).toBe('other')
    expect(chooseBin('@s/x', binsOf('@s/x', 'cli.js'), undefined)).toBe('x')
  })
  it('is the one named like the package', () => {
    expect(chooseBin('@s/second', two, undefined)).toBe('second')
  })
  it('is the wanted one', () => {
    expect(chooseBin('@s/second', two, 'first')).toBe('first')
  })
  it.each([
    ['x', two, undefined, 'package x leaves open what to run: its bins are first, second; name one in command'],
    ['x', two, 'third', 'package x has no bin "third"; its bins are first, second'],
    ['x', {}, undefined, 'package x leaves open what to run: it has no bins; name one in command'],
    ['x', two, 'toString', 'package x has no bin "toString"; its bins are first, second'],
  ])('is refused with the choice: %s %j %s', (name, bins, wanted, message) => {
    expect(() => chooseBin(name, bins, wanted)).toThrow(new StartError('CreateConfigError', message))
  })
})
